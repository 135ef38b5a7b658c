"""The list of make targets, read from the Makefile's own comments (needs no awk, sed or grep)."""

import re

_TARGET = re.compile(r"^([a-z][a-z0-9-]*):[^#]*## (.+)$", re.MULTILINE)


def describe_targets(makefile: str) -> str:
    """Return one aligned line for every `target: ... ## text` of a Makefile, in its order."""
    found = _TARGET.findall(makefile)
    width = max((len(name) for name, _ in found), default=0)
    return "\n".join(f"  make {name:<{width}}  {text}" for name, text in found)
