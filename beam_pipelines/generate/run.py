"""A generation run as its caller sees it: a child process that can always be ended, and its progress."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import contracts
from beam_pipelines.generate.config import GenerateConfig, GenerateReport, Progress
from beam_pipelines.generate.tally import LEFT, MADE, prepare_tally, tallied
from contracts import BackdropError
from stores import discard_unfinished
from stores.child import start_child

_POLL_S = 0.2
_LOG_LINES = 12


def run(config: GenerateConfig, progress: Callable[[Progress], None] | None = None) -> GenerateReport:
    """Make all creatives that are missing and publish what exists; returns when all is done.

    The job and its workers run in a process group of their own: whatever ends this call (an error, Ctrl-C) ends
    them at once. Work that is done stays done, and the next run goes on from there. ``progress`` is called several
    times a second, whether or not anything has changed.

    Raises:
        BackdropError: what the job raised, under its own class; SetupError and InvalidInputError say what to do.
    """
    with tempfile.TemporaryDirectory(prefix="backdrop-generate-") as name:
        folder = Path(name)
        prepare_tally(folder)
        (folder / "config.json").write_text(config.to_json())
        with open(folder / "log", "wb") as log:
            child = start_child(
                [sys.executable, "-m", "beam_pipelines.generate", name],
                on_parent_death=signal.SIGKILL,
                output=log,
                environment={"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            )
        try:
            _watch(child, folder, progress)
        finally:
            _end(child)
            # Its workers were killed as they stood, perhaps in the middle of a picture.
            discard_unfinished(config.objects_uri, child.pid)
        return _outcome(folder, child.returncode)


def _watch(child: "subprocess.Popen[bytes]", folder: Path, progress: Callable[[Progress], None] | None) -> None:
    while True:
        ended = child.poll() is not None
        now = _progress(folder)
        if progress is not None and now is not None:
            progress(now)
        if ended:
            return
        time.sleep(_POLL_S)


def _progress(folder: Path) -> Progress | None:
    try:
        planned, _, phase = (folder / "phase").read_text().partition(" ")
    except FileNotFoundError:
        return None
    left = int(planned) - tallied(folder, LEFT)
    return Progress(min(tallied(folder, MADE), left), left, phase)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of the child's process group; its id stays its own while the child is not reaped."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        child.wait()


def _outcome(folder: Path, status: int) -> GenerateReport:
    if (folder / "report.json").exists():
        return GenerateReport.from_json((folder / "report.json").read_text())
    if (folder / "error.txt").exists():
        kind, _, message = (folder / "error.txt").read_text().partition("\n")
        found = getattr(contracts, kind, BackdropError)
        raise found(message)
    lines = (folder / "log").read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]
    message = f"the generation job ended with status {status}:\n" + "\n".join(lines)
    raise BackdropError(message)
