"""What a runner needs, how its job server starts and fails, and that nothing of it stays behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from beam_pipelines.learn.flink import Flink
from beam_pipelines.learn.job_server import JobServer
from beam_pipelines.learn.prism import Prism
from beam_pipelines.learn.scratch import scratch_folder
from contracts import SetupError

HOLD = """
import sys
from beam_pipelines.learn.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_job_server_that_ends_at_once_is_told(tmp_path: Path) -> None:
    server = JobServer(Prism("/bin/false"), tmp_path, log_level="ERROR")
    with pytest.raises(SetupError, match=r"Prism \(/bin/false\) ended at once with status 1"):
        server.start()
    assert not server.is_running


def test_flink_needs_its_jars_and_a_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flink = Flink(str(tmp_path))
    with pytest.raises(SetupError, match=f"no Flink job server in '{tmp_path}': run make setup-flink"):
        flink.check()
    (tmp_path / "beam-runners-flink-1.19-2.62.0.jar").touch()
    java = tmp_path / "bin" / "java"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(SetupError, match=r"none on JAVA_HOME .*: install a Java 17"):
        flink.check()
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(java.parent))
    with pytest.raises(SetupError, match="none on PATH: install a Java 17"):
        flink.check()
    java.parent.mkdir()
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    flink.check()
    assert flink.command(1, tmp_path, "ERROR")[0] == str(java)


def test_flink_writes_only_below_the_scratch_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "a folder"
    assert f"--state_backend_storage_path=file://{tmp_path}/a%20folder/checkpoints" in Flink("/jars").options(scratch)
    command = Flink("/jars").command(1, scratch, "ERROR")
    assert {f"-Djava.io.tmpdir={scratch}", f"--artifacts-dir={scratch}/artifacts", "-XX:-UsePerfData"} <= set(command)


def held_by_another() -> "tuple[subprocess.Popen[str], Path]":
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_scratch_folder_goes_with_its_owner_also_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    first, living = held_by_another()
    second, orphan = held_by_another()
    (orphan / "checkpoints").mkdir()
    second.send_signal(signal.SIGKILL)
    second.communicate()
    with scratch_folder() as mine:
        assert sorted(tmp_path.iterdir()) == sorted([living, mine])
        (mine / "state").write_text("x")
    assert list(tmp_path.iterdir()) == [living]
    first.communicate()
    assert list(tmp_path.iterdir()) == []
