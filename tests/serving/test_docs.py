"""docs/serving.md is run: its console blocks by bash, its Python by Python, against a real server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import LINUCB, TrafficPolicy
from stores import EmbeddedRedis, PolicyStore, connect
from tests.serving.world import ROOT, ServerProcess, fill, put_features, put_pack, wait_until

DOCUMENT = (ROOT / "docs" / "serving.md").read_text()
ADDRESS = "localhost:8088"
ANYTHING = "…"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The shop that the document speaks of."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as redis_server:
        client = connect(redis_server.url)
        fill(client)
        put_features(client, "user", "u-17", {"segment": "minimal"})
        put_pack(client, "sofas", "oak", 412)
        PolicyStore(client).put(TrafficPolicy(split={LINUCB: 1.0}))
        client.close()
        with ServerProcess(tmp_path_factory.mktemp("server"), redis_server.url) as process:
            wait_until(lambda: process.decide("u-17")["propensity"] == 1.0, "pack and split are read")
            yield process


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Every command of the console blocks with the output that the document shows."""
    found: list[tuple[str, str]] = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown.strip()))
    return found


def run_all(server: ServerProcess, lines: list[str]) -> list[str]:
    """Run commands in one shell; returns what each wrote, and fails if one fails."""
    end = "--- end of a command ---"
    address = f"{server.config.host}:{server.config.port}"
    script = "\n".join(f"{{ {line}\n}} && echo && echo '{end}'" for line in lines).replace(ADDRESS, address)
    found = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail"], input=script, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return [text.strip().replace(address, ADDRESS) for text in found.stdout.split(end)[:-1]]


def same(shown: Any, found: Any) -> bool:
    """Whether an answer is as shown: all fields, texts (… stands for anything); times of day need not agree."""
    if isinstance(shown, dict):
        return (
            isinstance(found, dict)
            and set(shown) == set(found)
            and all((key == "age_ms" and found[key] >= 0) or same(shown[key], found[key]) for key in shown)
        )
    if isinstance(shown, list):
        return isinstance(found, list) and len(shown) == len(found) and all(map(same, shown, found))
    if isinstance(shown, str):
        pattern = ".*".join(map(re.escape, shown.split(ANYTHING)))
        return isinstance(found, str) and re.fullmatch(pattern, found, re.DOTALL) is not None
    if isinstance(shown, float):
        return isinstance(found, float) and found == pytest.approx(shown, abs=0.005)
    return type(shown) is type(found) and shown == found


def values(text: str) -> list[Any]:
    """Text as a list of what it holds: JSON values where lines (joined) are some, else the lines."""
    try:
        value, end = json.JSONDecoder().raw_decode(text)
        return [value, *values(text[end:].strip())] if not isinstance(value, int | float) else [str(value)]
    except json.JSONDecodeError:
        return text.splitlines()


def test_every_command_does_what_it_shows(server: ServerProcess) -> None:
    all_commands = commands()
    assert len(all_commands) >= 10
    outputs = run_all(server, [command for command, _ in all_commands])
    for (command, shown), found in zip(all_commands, outputs, strict=True):
        assert same(values(shown), values(found)), f"$ {command}\nshown: {shown}\nfound: {found}"


def test_the_comparison_tells_differences() -> None:
    shown = {"a": ["x…z", 1, 0.5, None], "age_ms": 3}
    assert same(shown, {"a": ["xyz", 1, 0.501, None], "age_ms": 9})
    for other in (["xy", 1, 0.5, None], ["xz", 2, 0.5, None], ["xz", 1, 0.6, None], ["xz", 1, 0.5, 0], ["xz", 1, 0.5]):
        assert not same(shown, {"a": other, "age_ms": 3})
    assert not same(shown, {"a": shown["a"], "age_ms": 3, "b": 1})


def test_the_python_example_runs(server: ServerProcess, tmp_path: Path) -> None:
    (example,) = blocks("python")
    address = f"{server.config.host}:{server.config.port}"
    script = tmp_path / "example.py"
    script.write_text(example.replace(ADDRESS, address) + "\nprint(answer.accepted, page)\n")
    found = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith('2 <a href="http')


def test_serve_explains_itself() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "backdrop", "serve", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert found.returncode == 0, found.stderr
    for said in ("--host", "--port", "--home", "--redis", "decisions", "/openapi.json"):
        assert said in found.stdout
