import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backdrop.setup import Interrupted, SetupError
from backdrop.setup.console import Console
from backdrop.setup.process import Runner, Signals, output_of


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    installed = Signals()
    installed.install()
    yield installed
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def runner(tmp_path: Path, signals: Signals) -> Runner:
    return Runner(Console(io.StringIO(), is_terminal=False), signals, dict(os.environ), tmp_path / "log", tmp_path)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_output_goes_to_the_log(runner: Runner) -> None:
    runner.run(python("print('hello')"), label="Greeting", fix="try again")
    assert "hello" in runner.log.read_text()


def test_a_failure_is_one_sentence_with_reason_and_remedy(runner: Runner) -> None:
    code = "import sys; print('error: no index'); print('bye'); sys.exit(3)"
    with pytest.raises(SetupError, match=r"^Packages failed with status 3 \(error: no index\): check it; "):
        runner.run(python(code), label="Packages", fix="check it")


def test_a_missing_program_is_named(runner: Runner) -> None:
    with pytest.raises(SetupError, match="cannot start '/nowhere/uv'"):
        runner.run(["/nowhere/uv"], label="uv", fix="")


def test_an_interrupt_ends_the_program_and_what_it_started(runner: Runner, tmp_path: Path) -> None:
    family = tmp_path / "pids"
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(family)!r} + '.new', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(family)!r} + '.new', {str(family)!r})\n"
        "time.sleep(600)"
    )

    def interrupt() -> None:
        while not family.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted):
        runner.run(python(code), label="Long", fix="")
    pids = [int(text) for text in family.read_text().split()]
    while any(is_alive(pid) for pid in pids):  # the test's time limit ends this where one survives
        time.sleep(0.01)


def test_a_signal_waits_for_the_end_of_a_deferred_part(signals: Signals) -> None:
    reached = False
    with pytest.raises(Interrupted):
        with signals.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            reached = True
        pytest.fail("the signal was lost")
    assert reached


def test_a_program_that_cannot_run_has_no_output() -> None:
    assert output_of(["/nowhere/prism"], {}) is None
    assert output_of(python("print(1)"), dict(os.environ)) == "1\n"
