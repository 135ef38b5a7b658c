"""Learners as real processes, and what is below them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest

from backdrop.runners import find_flink
from beam_pipelines.learn import LearnConfig
from demo.measure import descendants

ROOT = Path(__file__).parents[2]
_CODE = "import sys; from beam_pipelines.learn import LearnConfig, run; run(LearnConfig.from_json(sys.argv[1]))"


def find_prism() -> str:
    """Path of the Prism binary; "" where there is none."""
    found = os.environ.get("BACKDROP_PRISM") or str(ROOT / ".backdrop/tools/prism")
    return found if Path(found).is_file() else shutil.which("prism") or ""


def prism_path() -> str:
    """Path of the Prism binary; skips the test where there is none."""
    found = find_prism()
    if not found:
        pytest.skip("no Prism binary (make setup fetches it; BACKDROP_PRISM names another)")
    return found


def runner_path(runner: str) -> str:
    """Where a runner is; a missing Prism skips the test, a missing Flink, which nobody gets unasked, fails it."""
    return find_flink(ROOT / ".backdrop/tools") if runner == "flink" else prism_path()


def start_learner(
    config: LearnConfig, *, environment: Mapping[str, str] | None = None, output: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a learner; ``environment`` is added to this process's, ``output`` takes what it writes."""
    return subprocess.Popen(
        [sys.executable, "-c", _CODE, config.to_json()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdout=output,
        stderr=output,
    )


def job_servers(pid: int) -> Iterator[int]:
    """Job servers of Prism or Flink below ``pid``."""
    yield from _below(pid, b"--serve_http=false")
    yield from _below(pid, b"FlinkJobServerDriver")


def workers(pid: int) -> Iterator[int]:
    """Worker processes of the learner ``pid``."""
    yield from _below(pid, b"beam_pipelines.learn.worker")


def alive(pid: int) -> bool:
    """Whether a process runs (one that only waits to be reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(what: str, check: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait until ``check`` holds."""
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.1)


def _below(pid: int, word: bytes) -> Iterator[int]:
    for child in descendants(pid):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The launcher that is about to become it carries its words, too.
        if word in command and b"prctl" not in command:
            yield child
