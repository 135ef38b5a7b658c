"""Resolves setup.py into locks/: one version of each package everywhere, hashes, and no index named."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from backdrop.setup.errors import SetupError
from backdrop.setup.layout import Layout
from backdrop.setup.pins import PROFILES
from backdrop.setup.process import Runner

# Fetched for set-up itself: name of the lock -> what its .in file holds.
_TOOLS = ("uv", "weights", "go")
_FIX = "relax the bound in setup.py that it names, or check the network"


def write_locks(layout: Layout, runner: Runner, options: Sequence[str]) -> None:
    """Write every lock again; versions stay where setup.py still allows them, unless options hold --upgrade.

    Raises:
        SetupError: the requirements contradict each other, or an index address got into a lock.
    """
    everything = layout.packages("test")
    _compile(layout, runner, "test", ["setup.py", "--extra", PROFILES["test"].extra], options)
    for name in ("demo", "diffusers", "bench"):
        extras = [word for extra in PROFILES[name].extra.split(",") for word in ("--extra", extra)]
        _compile(layout, runner, name, ["setup.py", *extras, "--constraints", str(everything)], options)
    for name in _TOOLS:
        _compile(layout, runner, name, [f"locks/{name}.in", "--no-deps"], options)


def _compile(layout: Layout, runner: Runner, name: str, what: Sequence[str], options: Sequence[str]) -> None:
    target = layout.packages(name)
    beside = layout.scratch / target.name
    if target.exists():
        beside.write_bytes(target.read_bytes())
    runner.run(
        [
            *(str(layout.uv), "pip", "compile", *what, *options),
            *("--python", str(layout.python), "--python-version", "3.11", "--universal"),
            *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
            *("--custom-compile-command", "make lock", "--output-file", str(beside)),
        ],
        label=f"locks/{target.name}",
        fix=_FIX,
    )
    refuse_addresses(beside)
    os.replace(beside, target)


def refuse_addresses(lock: Path) -> None:
    """Refuse a lock that names a host: it would tie every user to one index.

    Raises:
        SetupError: a line holds an address or an index option.
    """
    for number, line in enumerate(lock.read_text().splitlines(), start=1):
        if re.search(r"://|--(extra-)?index|--find-links|--trusted-host", line):
            message = f"{lock.name} line {number} names an index ({line[:80]!r}): resolve without it"
            raise SetupError(message)
