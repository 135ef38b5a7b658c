import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts import SetupError, StoreError, UnavailableError
from stores.connect import command, connect, translated
from stores.embedded import EmbeddedRedis, RedisBinary, find_redis_server

PARENT = """
import sys, time
from pathlib import Path
from stores.embedded import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1])).start()
print(server.pid, server.port, flush=True)
time.sleep(600)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until_gone(pid: int) -> bool:
    for _ in range(500):
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_server_on_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == RedisBinary(program, "redis")


def test_bundled_server_is_found_without_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server().kind == "valkey"


def test_configuration_keeps_every_accepted_write(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        client = connect(server.url)
        kept = {
            name: command(client, "CONFIG", "GET", name)[1].decode()
            for name in ("appendonly", "appendfsync", "save", "maxmemory-policy", "bind", "dir")
        }
        client.close()
    assert kept == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
        "dir": str(tmp_path.resolve()),
    }


def test_restart_and_crash_keep_port_and_content(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, fsync="always")
    with server:
        client = connect(server.url)
        port, pid = server.port, server.pid
        command(client, "SET", "name", "value")
        assert server.restart().port == port
        assert server.pid != pid
        assert command(client, "GET", "name") == b"value"
        command(client, "SET", "name", "newer")
        server.kill()
        assert server.pid is None
        with pytest.raises(UnavailableError, match="Redis did not answer"), translated():
            command(client, "GET", "name")
        server.start()
        assert command(client, "GET", "name") == b"newer"
        client.close()
    assert server.pid is None
    server.stop()


def test_starting_twice_is_one_server(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pid = server.pid
        assert server.start().pid == pid


def test_taken_port_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SetupError, match=rf"127\.0\.0\.1:{port}.*choose another"):
            EmbeddedRedis(tmp_path, port=port).start()


def test_server_that_dies_at_start_says_why(tmp_path: Path) -> None:
    damaged = tmp_path / "appendonlydir"
    damaged.mkdir()
    (damaged / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(SetupError, match=r"ended at start.*redis\.log"):
        EmbeddedRedis(tmp_path).start()


def test_no_port_before_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="start it first"):
        _ = EmbeddedRedis(tmp_path).url


def test_server_survives_interrupt_and_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with parent:
        assert parent.stdout is not None
        pid, _ = (int(word) for word in parent.stdout.readline().split())
        assert os.getsid(pid) != os.getsid(parent.pid)
        os.killpg(parent.pid, signal.SIGSTOP)
        assert is_alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert wait_until_gone(pid)
