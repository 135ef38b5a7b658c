import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts import SetupError
from stores.child import choose_port, start_child


def test_a_free_port_is_found_and_a_taken_one_refused_in_one_sentence() -> None:
    port = choose_port(0)
    assert port > 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"port 127.0.0.1:{number} .*--port"):
            choose_port(number)


def test_a_child_ends_with_its_parent_however_that_ends() -> None:
    program = (
        "import signal, sys, time\n"
        "from stores.child import start_child\n"
        "child = start_child([sys.executable, '-c', 'import time; time.sleep(60)'], on_parent_death=signal.SIGTERM)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    for _ in range(500):
        if not is_running(pid):
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail(f"child {pid} outlived its parent")


def test_a_child_has_the_folder_environment_and_output_it_was_given(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        child = start_child(
            ["sh", "-c", "pwd; echo $COLOUR; echo oh >&2"],
            on_parent_death=signal.SIGKILL,
            output=output,
            folder=tmp_path,
            environment={"COLOUR": "red"},
        )
        assert child.wait(30) == 0
    assert log.read_text().split() == [str(tmp_path), "red", "oh"]


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
