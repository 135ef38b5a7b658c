"""``python -m tests.chaos_generate.nursery``: a process that has imported everything and forks a run when told to.

A line in (JSON: ``config``, and ``death`` or null) is a run in a process of its own; a line out is its exit status, -9
where it was killed. Imports are nine tenths of a small run's time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from beam_pipelines.generate import GenerateConfig
from beam_pipelines.generate.job import main as job
from tests.beam_pipelines.processes import ROOT
from tests.chaos_generate.steps import Death, die_at

_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


class Nursery:
    """The process, as those see it who want runs."""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos_generate.nursery"],
            cwd=ROOT,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe is not None
            pipe.close()
        self._child.kill()
        self._child.wait()

    def run(self, config: GenerateConfig, folder: Path, death: Death | None = None) -> int:
        """A run in a process of its own; ``folder`` takes what ``job.main`` leaves. Returns its exit status."""
        (folder / "config.json").write_text(config.to_json())
        line = {"folder": str(folder), "death": death and [death.kind, death.number, death.moment]}
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(line) + "\n")
        self._child.stdin.flush()
        return int(self._child.stdout.readline())


def _child(folder: Path, death: list[object] | None) -> int:
    if death is not None:
        die_at(Death(*death))  # type: ignore[arg-type]
    for what in ("made", "left"):
        (folder / what).mkdir(exist_ok=True)
    # What Beam prints is no status.
    os.dup2(2, 1)
    return job(folder)


def main() -> None:
    """Fork as told until the input ends."""
    for line in sys.stdin:
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = _child(Path(told["folder"]), told["death"])
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
