import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts import SetupError
from demo.processes import Child, ChildDiedError, Supervisor, interruptible, run_loop

PYTHON = sys.executable


def script(text: str) -> list[str]:
    return [PYTHON, "-u", "-c", textwrap.dedent(text)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def says_up(child: Child) -> Callable[[], bool]:
    return lambda: "up" in child.log_tail()


def eventually(condition: Callable[[], bool], timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("up", flush=True)
    time.sleep(600)
"""
PARENT = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, flush=True)
    time.sleep(600)
"""


def test_a_child_runs_logs_and_is_stopped(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as children:
        child = children.start("sleeper", script(SLEEPER), {})
        children.wait_ready(child, lambda: "up" in child.log_tail(), 20)
        assert alive(child.pid)
    assert not alive(child.pid)


def test_environment_reaches_the_child(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as children:
        child = children.start("teller", script("import os; print(os.environ['COLOUR'])"), {"COLOUR": "teal"})
        child.wait(20)
        assert child.log_tail() == "teal"


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    children = Supervisor(tmp_path)
    child = children.start("stubborn", script(STUBBORN), {})
    children.wait_ready(child, lambda: "up" in child.log_tail(), 20)
    children.stop(grace_s=0.2)
    assert not alive(child.pid)


def test_grandchildren_go_with_the_child(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as children:
        child = children.start("parent", script(PARENT), {})
        children.wait_ready(child, lambda: child.log_tail().isdigit(), 20)
        grandchild = int(child.log_tail())
        assert alive(grandchild)
    assert eventually(lambda: not alive(grandchild))


def test_children_are_stopped_last_started_first(tmp_path: Path) -> None:
    text = """
        import signal, sys, time, pathlib
        def end(*_):
            with open({file!r}, "a") as out:
                out.write({name!r} + "\\n")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("up", flush=True)
        time.sleep(600)
    """
    order = tmp_path / "order"
    with Supervisor(tmp_path) as children:
        for name in ("first", "second"):
            child = children.start(name, script(text.format(file=str(order), name=name)), {})
            children.wait_ready(child, says_up(child), 20)
    assert order.read_text().split() == ["second", "first"]


def test_a_dead_child_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as children:
        child = children.start("doomed", script("print('the reason'); raise SystemExit(3)"), {})
        assert eventually(lambda: child.code is not None)
        with pytest.raises(ChildDiedError, match=r"doomed ended with status 3[\s\S]*the reason"):
            children.check()
        with pytest.raises(ChildDiedError, match="the reason"):
            children.wait_ready(child, lambda: False, 20)
        with pytest.raises(ChildDiedError, match="the reason"):
            child.wait(20)


def test_a_killed_child_is_reported_by_its_signal(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as children:
        child = children.start("victim", script(SLEEPER), {})
        children.wait_ready(child, lambda: "up" in child.log_tail(), 20)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(ChildDiedError, match="victim was ended by SIGKILL"):
            child.wait(20)


def test_a_child_that_is_never_ready_is_named(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as children:
        child = children.start("slow", script(SLEEPER), {})
        with pytest.raises(ChildDiedError, match="slow was not ready"):
            children.wait_ready(child, lambda: False, 0.2)
        with pytest.raises(ChildDiedError, match="slow has not finished"):
            child.wait(0.2)


OWNER = """
    import sys, time
    from pathlib import Path
    from demo.processes import Supervisor, interruptible
    try:
        with interruptible(), Supervisor(Path(sys.argv[1])) as children:
            child = children.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], {})
            print(child.pid, flush=True)
            time.sleep(600)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


def owner(folder: Path) -> "tuple[subprocess.Popen[str], int]":
    process = subprocess.Popen([*script(OWNER), str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    # Until the launcher has run, the parent-death signal is not set.
    launched = [PYTHON.encode(), b"-c", b"import time; time.sleep(600)", b""]
    assert eventually(lambda: Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") == launched)
    return process, child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_owner_leaves_no_child(tmp_path: Path, number: signal.Signals) -> None:
    process, child = owner(tmp_path)
    with process:
        assert alive(child)
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)
    assert "interrupted" in said
    assert process.returncode == 130
    assert not alive(child)


def test_a_killed_owner_leaves_no_child(tmp_path: Path) -> None:
    process, child = owner(tmp_path)
    with process:
        process.kill()
        process.wait(30)
    assert eventually(lambda: not alive(child))


LOOPER = """
    import asyncio, sys
    from demo.processes import interruptible, run_loop
    async def work():
        print("up", flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            print("cleaned", flush=True)
    try:
        with interruptible():
            run_loop(work())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_inside_the_loop_cancels_and_then_interrupts(number: signal.Signals) -> None:
    with subprocess.Popen(script(LOOPER), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)
    assert said.split() == ["cleaned", "interrupted"]


def test_what_fails_in_the_loop_comes_out() -> None:
    async def fail() -> None:
        message = "this"
        raise SetupError(message)

    with interruptible(), pytest.raises(SetupError, match="this"):
        run_loop(fail())


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
