import socket
from dataclasses import replace
from pathlib import Path

import pytest

from backdrop.doctor import Machine, checks, observe, render

READY = Machine(
    python=(3, 11, 7),
    has_uv=True,
    profiles=("demo", "test"),
    has_prism=True,
    has_weights=True,
    has_tested_weights=True,
    redis="/usr/bin/redis-server",
    chromium="/usr/bin/chromium",
    java="/usr/bin/java",
    maven="/usr/bin/mvn",
    free_disk_bytes=100 << 30,
    free_memory_bytes=16 << 30,
    is_home_writable=True,
    port=8088,
    is_port_free=True,
)


def test_a_ready_machine_has_nothing_to_mend() -> None:
    assert all(check.ok for check in checks(READY))
    text = render(checks(READY))
    assert text.endswith("Ready")
    assert "->" not in text


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (replace(READY, python=(3, 12, 1)), "Python"),
        (replace(READY, has_uv=False), "uv"),
        (replace(READY, profiles=()), "packages"),
        (replace(READY, has_prism=False), "Prism"),
        (replace(READY, has_weights=False, has_tested_weights=False), "weights"),
        (replace(READY, has_tested_weights=False), "weights"),
        (replace(READY, redis=None), "Redis"),
        (replace(READY, is_home_writable=False), "state folder"),
        (replace(READY, free_disk_bytes=1 << 30), "disk"),
        (replace(READY, free_memory_bytes=1 << 30), "memory"),
    ],
)
def test_each_lack_is_named_with_what_to_do(machine: Machine, name: str) -> None:
    found = checks(machine)
    wrong = [check for check in found if not check.ok]
    assert [check.name for check in wrong] == [name]
    assert wrong[0].required
    text = render(found)
    assert text.endswith(f"Not ready: {name}")
    assert f"-> {wrong[0].fix}" in text


@pytest.mark.parametrize(
    "machine",
    [replace(READY, chromium=None), replace(READY, java=None, maven=None), replace(READY, is_port_free=False)],
)
def test_what_is_optional_does_not_stop_anybody(machine: Machine) -> None:
    assert render(checks(machine)).endswith("Ready")


def test_observing_an_empty_folder_changes_nothing_and_finds_nothing(tmp_path: Path) -> None:
    seen = observe(tmp_path, {"PATH": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
    assert (seen.has_uv, seen.profiles, seen.has_prism, seen.has_weights, seen.redis) == (False, (), False, False, None)


def test_a_taken_port_is_seen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not observe(tmp_path, {"BACKDROP_SERVE__PORT": str(port)}).is_port_free


@pytest.mark.parametrize("port", ["abc", "99999", "-1", "0", "\u00b2", "9" * 5_000])
def test_a_port_that_is_none_is_a_finding(port: str) -> None:
    seen = observe(env={"BACKDROP_SERVE__PORT": port})
    assert not seen.is_port_free
    assert any(not check.ok and "65535" in check.fix for check in checks(seen))
