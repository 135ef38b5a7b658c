"""``python -m benchmarks [suite …]``: run suites, print their rows as they come, write docs/benchmarks.md."""

import importlib
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.report import Row, page, save
from contracts import SetupError

# A suite is a module with ``PACKAGES`` (whose versions are named) and ``rows()``, which yields its figures.
SUITES: dict[str, str] = {
    "learner": "benchmarks.learner",
    "drain": "benchmarks.drain",
    "lag": "benchmarks.lag",
    "soak": "benchmarks.soak",
    "serving": "benchmarks.serving",
    "runners": "benchmarks.runners",
    "features": "benchmarks.features",
    "writer": "benchmarks.writer",
    "activity": "benchmarks.activity",
    "gate": "benchmarks.gate",
    "generation": "benchmarks.generation",
    "generation_gpu": "benchmarks.generation_gpu",
    "manifest": "benchmarks.manifest",
    "pictures": "benchmarks.pictures",
    "reader": "benchmarks.reader",
}
# Those that need packages which no other part of the project does run in an environment of their own.
ENVIRONMENTS = {"learner": ".venv-bench"}

_ROOT = Path(__file__).parents[1]
_DOCS = _ROOT / "docs"


def main(names: Sequence[str]) -> int:
    """Run the suites named (all, if none is); exit status 1 if a target was missed."""
    unknown = sorted(set(names) - set(SUITES))
    if unknown:
        sys.stderr.write(f"benchmarks: no suite {', '.join(unknown)}: there are {', '.join(SUITES)}\n")
        return 2
    missed = False
    for name in names or SUITES:
        python = _ROOT / ENVIRONMENTS.get(name, ".venv") / "bin" / "python"
        if python.parents[1].resolve() != Path(sys.prefix).resolve():
            missed |= subprocess.run([str(python), "-m", "benchmarks", name], cwd=_ROOT, check=False).returncode != 0
            continue
        suite = importlib.import_module(SUITES[name])
        sys.stdout.write(f"\n{name}\n")
        rows: list[Row] = []
        try:
            for row in suite.rows():
                rows.append(row)
                missed |= row.met is False
                sys.stdout.write(row.line() + "\n")
                sys.stdout.flush()
        except SetupError as error:
            sys.stderr.write(f"not measured: {error}\n")
            continue
        versions = {package: _version(package) for package in suite.PACKAGES}
        save(_DOCS / "benchmarks", name, rows, command=f"make bench ARGS={name}", versions=versions)
        (_DOCS / "benchmarks.md").write_text(page(_DOCS / "benchmarks"))
    return 1 if missed else 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
