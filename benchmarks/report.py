"""Rows of a benchmark: printed as they come, kept as JSON, rendered as docs/benchmarks.md."""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what was measured, the value with its unit, what it should be, and anything that explains it.

    ``met`` is None where the figure has no target.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    note: str = ""

    def line(self) -> str:
        """The figure as one line: name, value, unit, target, verdict."""
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        figure = f"{self.name:<58} {self.value:>12,.4g} {self.unit:<10}"
        return f"{figure} {self.target:<12} {verdict:<7}{self.note}".rstrip()


def at_least(name: str, value: float, unit: str, target: float, *, note: str = "") -> Row:
    """A row whose value should be ``target`` or more."""
    return Row(name, value, unit, f">= {target:,.4g}", value >= target, note)


def at_most(name: str, value: float, unit: str, target: float, *, note: str = "") -> Row:
    """A row whose value should be ``target`` or less."""
    return Row(name, value, unit, f"<= {target:,.4g}", value <= target, note)


def exactly(name: str, value: float, unit: str, target: float, *, note: str = "") -> Row:
    """A row whose value should be ``target``."""
    return Row(name, value, unit, f"= {target:,.4g}", value == target, note)


def save(folder: Path, suite: str, rows: Iterable[Row], *, command: str, versions: Mapping[str, str]) -> None:
    """Keep a suite's rows in ``<folder>/<suite>.json``, with the command that made them."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "suite": suite,
        "command": command,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "versions": dict(versions),
        "rows": [asdict(row) for row in rows],
    }
    (folder / f"{suite}.json").write_text(json.dumps(found, indent=1) + "\n")


def page(folder: Path) -> str:
    """Markdown of all suites kept in ``folder``, a table each."""
    parts = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Two shared, noisy cores: trust the ratios, which are of runs interleaved in one go.",
    ]
    for path in sorted(folder.glob("*.json")):
        suite = json.loads(path.read_text())
        versions = ", ".join(f"{name} {version}" for name, version in suite["versions"].items())
        parts += ["", f"## {suite['suite']}", "", f"`{suite['command']}`, {suite['made']}, {suite['machine']}"]
        parts += ["", versions] if versions else []
        parts += ["", "| what | value | unit | target | | note |", "| --- | ---: | --- | --- | --- | --- |"]
        for row in (Row(**found) for found in suite["rows"]):
            verdict = {True: "met", False: "**missed**", None: ""}[row.met]
            parts.append(f"| {row.name} | {row.value:,.4g} | {row.unit} | {row.target} | {verdict} | {row.note} |")
    return "\n".join(parts) + "\n"
