"""The command line as a stranger meets it: help, one-sentence errors, the traffic split, a Redis of its own."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from backdrop import __version__
from backdrop.cli import app, parse_split
from contracts import InvalidInputError, SettingsError, UnavailableError
from stores import EmbeddedRedis, PolicyStore, connect
from stores.child import choose_port
from stores.connect import command

PROJECT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "doctor",
    "redis",
    "features",
    "serve",
    "generate",
    "contact-sheet",
    "learn",
    "verify",
    "gallery",
    "evaluate",
    "replay",
    "warm-start",
    "shadow",
    "promote",
    "rollback",
    "confirm",
    "retire",
    "trim",
    "split",
    "demo",
    "models",
    "inspect",
    "arm",
    "tune",
    "dead-letters",
    "keys",
)
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BACKDROP_")]:
        monkeypatch.delenv(name)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"TERMINAL_WIDTH": "200", "NO_COLOR": "1"})


def start(*words: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "backdrop", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
    )


def run(*words: str, **environment: str) -> tuple[int, str, str]:
    with start(*words, **environment) as child:
        out, err = child.communicate(timeout=PATIENCE_S)
    return child.returncode, out, err


def test_help_lists_every_command_and_no_other() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    listed = re.findall(r"^│ ([a-z][a-z-]*) {2,}\S", result.stdout, re.MULTILINE)
    assert listed == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_in_a_sentence_what_it_does_and_explains_its_options(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    usage, _, rest = result.stdout.partition("\n\n")
    assert name in usage or name in rest
    assert re.search(r"^ [A-Z][^│╭╰]+\.\s*$", result.stdout, re.MULTILINE), result.stdout
    for line in re.findall(r"^│ (.*--[a-z].*?) *│$", result.stdout, re.MULTILINE):
        words = re.sub(r"\*|--[a-z-]+|<[^>]+>", "", line).split()
        assert len(words) >= 2, f"{name} does not explain {line!r}"


def test_no_command_at_all_gives_the_help() -> None:
    assert "contact-sheet" in invoke().output


def test_version() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"{__version__}\n")


def test_a_wrong_variable_is_one_sentence_and_exit_1() -> None:
    code, out, err = run("serve", BACKDROP_SERVE__PORT="x")
    assert (code, out) == (1, "")
    assert err.startswith("backdrop: settings are not valid: serve.port: ")
    assert err.endswith("(got 'x')\n")
    assert err.count("\n") == 1


def test_learning_without_compiled_features_names_the_command_that_compiles_them(tmp_path: Path) -> None:
    code, out, err = run("learn", "--home", str(tmp_path / "home"))
    assert (code, out) == (1, "")
    assert err == f"backdrop: {tmp_path / 'home/features/context.json'} is missing: run `backdrop features` first\n"
    assert not (tmp_path / "home").exists()


def test_a_taken_port_is_one_sentence_and_leaves_nothing(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    code, out, err = run("redis", "--port", str(redis_server.port), "--home", str(tmp_path))
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"backdrop: port 127\.0\.0\.1:{redis_server.port} cannot be used .*--port.*\n", err)


@pytest.mark.parametrize(
    ("words", "kind", "named"),
    [
        (("learn", "--redis", "nonsense"), SettingsError, r"context\.json is missing"),
        (("serve", "--port", "99999"), SettingsError, r"serve\.port: .*99999"),
        (("features", "--days", "3"), InvalidInputError, "--days and --as-of are about the aggregates"),
        (("features", "--aggregate", "--days", "0"), SettingsError, "features.days"),
        (("features", "--aggregate", "--redis", "redis://127.0.0.1:1"), UnavailableError, "redis|Redis"),
        (("serve", "--home", "nowhere"), SettingsError, r"plan\.json cannot be read .*`backdrop features`"),
        (("split", "original=1", "--redis", "nonsense"), InvalidInputError, "'nonsense' is not valid"),
        (("demo", "--policies", "best"), InvalidInputError, r"\['best'\] are not known"),
        (("demo", "--world", "mars"), InvalidInputError, "'mars' is not known"),
    ],
)
def test_each_mistake_is_named(words: tuple[str, ...], kind: type[Exception], named: str) -> None:
    result = invoke(*words)
    assert isinstance(result.exception, kind), result.output
    assert re.search(named, str(result.exception))
    assert "\n" not in str(result.exception)


def test_a_variable_that_cannot_be_read_at_all_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKDROP_LINEAGE", '{"gamma":')
    result = invoke("split", "original=1")
    assert isinstance(result.exception, SettingsError)
    assert 'field "lineage"' in str(result.exception)


@pytest.mark.parametrize("words", [("paint",), ("split",), ("redis", "--port", "many"), ("serve", "--speed", "9")])
def test_a_wrong_word_on_the_line_is_a_usage_error(words: tuple[str, ...]) -> None:
    assert invoke(*words).exit_code == 2


@pytest.fixture
def policies(redis_client: redis.Redis) -> PolicyStore:
    return PolicyStore(redis_client)


def test_split_changes_the_shares_and_raises_the_version(policies: PolicyStore, redis_server: EmbeddedRedis) -> None:
    before = policies.get()
    for version in (1, 2):
        result = invoke("split", "original=0.1", "random=0.2", "linucb=0.7", "--redis", redis_server.url)
        assert (result.exit_code, result.stdout) == (
            0,
            f"version {version}: original 10.0%, random 20.0%, linucb 70.0%\n",
        )
    after = policies.get()
    assert (after.version, dict(after.split)) == (2, {"original": 0.1, "random": 0.2, "linucb": 0.7})
    assert (after.default_alpha, after.salt) == (before.default_alpha, before.salt)


def test_split_keeps_what_it_was_not_told_to_change(policies: PolicyStore, redis_server: EmbeddedRedis) -> None:
    assert invoke("split", "linucb=1", "--alpha", "0.3", "--redis", redis_server.url).exit_code == 0
    assert invoke("split", "random=0.5", "linucb=0.5", "--redis", redis_server.url).exit_code == 0
    after = policies.get()
    assert (after.version, after.default_alpha, dict(after.split)) == (2, 0.3, {"random": 0.5, "linucb": 0.5})


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("linucb",), "'linucb' is not policy=share"),
        (("linucb=most",), "'linucb=most' is not policy=share"),
        (("linucb=0.5", "linucb=1"), "'linucb=1' names linucb a second time"),
        (("best=1",), r"\['best'\]"),
        (("original=0.5", "linucb=0.6"), "sum to 1"),
        (("original=-0.5", "linucb=1.5"), "at least 0"),
        (("original=nan",), "nan"),
    ],
)
def test_split_refuses_what_is_none_and_changes_nothing(
    words: tuple[str, ...], named: str, policies: PolicyStore, redis_server: EmbeddedRedis
) -> None:
    # Words that begin with "-" are options: what is behind "--" is not.
    result = invoke("split", "--redis", redis_server.url, "--", *words)
    assert isinstance(result.exception, InvalidInputError)
    assert re.search(named, str(result.exception))
    assert policies.get().version == 0


def test_split_without_redis_says_so() -> None:
    result = invoke("split", "original=1", "--redis", f"redis://127.0.0.1:{choose_port()}/0")
    assert isinstance(result.exception, UnavailableError)
    assert "Redis did not answer" in str(result.exception)


def test_shares_are_read_in_their_order() -> None:
    assert list(parse_split(["random=0.25", "original=.75"]).items()) == [("random", 0.25), ("original", 0.75)]


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    with start("redis", "--port", "0", "--home", str(tmp_path / "home")) as child:
        yield child
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_redis_answers_and_leaves_no_process(
    own_redis: "subprocess.Popen[str]", ending: signal.Signals, tmp_path: Path
) -> None:
    url = redis_url(own_redis)
    with connect(url) as client:
        assert command(client, "PING") is True
        pid = int(command(client, "INFO", "server")["process_id"])
        command(client, "SET", "kept", "yes")
    own_redis.send_signal(ending)
    assert own_redis.wait(PATIENCE_S) == (-ending if ending is signal.SIGKILL else 0)
    assert eventually(lambda: not is_running(pid))
    assert any((tmp_path / "home/redis").iterdir())
    if ending is not signal.SIGKILL:
        with EmbeddedRedis(tmp_path / "home/redis") as again, connect(again.url) as client:
            assert command(client, "GET", "kept") == b"yes"


def redis_url(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    assert select.select([child.stdout], [], [], PATIENCE_S)[0], "backdrop redis printed nothing"
    line = child.stdout.readline()
    found = re.fullmatch(r"Redis answers at (redis://127\.0\.0\.1:\d+/0); Ctrl-C ends it\n", line)
    assert found is not None, line
    return found[1]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False
