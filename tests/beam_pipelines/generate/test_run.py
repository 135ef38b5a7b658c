"""The run as a caller sees it: several processes, progress, and being stopped at any moment."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.generate import GenerateConfig, Progress, run
from beam_pipelines.generate.job import run_job
from contracts import BackdropError, InvalidInputError, SetupError
from demo.measure import descendants
from stores import FileObjectStore
from tests.beam_pipelines.generate.shop import needs_weights, open_shop, row
from tests.beam_pipelines.processes import alive

ROOT = Path(__file__).parents[3]
pytestmark = needs_weights


def pictures(config: GenerateConfig) -> dict[str, bytes]:
    objects = FileObjectStore(Path(config.objects_uri))
    return {path: objects.get(path) for path in objects.list("creatives/")}


def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    rows = [row("stool"), row("chair"), row("pot", "garden")]
    config = open_shop(tmp_path, rows, workers=2)
    seen: list[Progress] = []
    report = run(config, seen.append)
    assert (report.planned, report.made, report.rejected, dict(report.dead_letters)) == (16, 16, 0, {})
    assert {"cutout", "paint", "gate", "store"} <= report.seconds.keys()
    assert report.seconds["paint"] > 0
    assert seen[-1] == Progress(16, 16, "finished")
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    alone = replace(config, workers=1, objects_uri=str(tmp_path / "alone"))
    assert run_job(alone, lambda _: None).made == 16
    assert pictures(config) == pictures(alone)


def test_errors_keep_their_class_and_words(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool")])
    with pytest.raises(SetupError, match="make setup"):
        run(replace(config, weights=str(tmp_path / "none.onnx")))
    with pytest.raises(InvalidInputError, match="no such item id"):
        run(replace(config, only=("boat",)))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_no_process_and_goes_on_later(tmp_path: Path, how: signal.Signals) -> None:
    config = open_shop(tmp_path, [row(f"stool{i}") for i in range(4)], workers=2, rows_per_part=2)
    (tmp_path / "config.json").write_text(config.to_json())
    script = (
        "import signal, sys, pathlib\n"
        "from beam_pipelines.generate import GenerateConfig, run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "run(GenerateConfig.from_json(pathlib.Path(sys.argv[1]).read_text()))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "config.json")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        while len(pictures(config)) < 4:
            assert child.poll() is None
            time.sleep(0.02)
        below = descendants(child.pid)
        assert len(below) >= 3
        child.send_signal(how)
        child.wait()
    finally:
        child.kill()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in below) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in below if alive(pid)]
    before = pictures(config)
    report = run_job(replace(config, workers=1), lambda _: None)
    after = pictures(config)
    assert len(after) == 24
    assert before.items() <= after.items()
    assert report.made + len(before) == 24
    if how is signal.SIGINT:
        assert not list((tmp_path / "objects" / ".partial").iterdir())


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row(f"stool{i}") for i in range(4)], workers=2, rows_per_part=2)
    killed: list[int] = []

    def kill_one(_: Progress) -> None:
        if not killed and pictures(config):
            workers = [pid for pid in descendants(os.getpid()) if _is_worker(pid)]
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)

    with pytest.raises(BackdropError, match=r"a worker process died .*: set generate\.workers lower, or run again"):
        run(config, kill_one)
    before = pictures(config)
    assert before
    assert not [pid for pid in descendants(os.getpid()) if _is_worker(pid)]
    report = run_job(replace(config, workers=1), lambda _: None)
    assert len(pictures(config)) == 24 == report.made + len(before)


def _is_worker(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return b"sdk_worker_main" in command and not command.startswith(b"/bin/sh")
