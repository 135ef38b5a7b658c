"""Prism, Beam's own runner: one small program."""

import os
from dataclasses import dataclass
from pathlib import Path

from contracts import SetupError

_LEVELS = {"WARNING": "warn", "CRITICAL": "error"}


@dataclass(frozen=True, slots=True)
class Prism:
    """The Prism binary at ``path``; it keeps everything in memory."""

    path: str

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"Prism ({self.path})"

    def check(self) -> None:
        """Look whether the program is there.

        Raises:
            SetupError: if it is not.
        """
        if not Path(self.path).is_file() or not os.access(self.path, os.X_OK):
            message = f"no Prism binary at {self.path!r}: run make setup, or set its path"
            raise SetupError(message)

    def command(self, port: int, scratch: Path, log_level: str) -> list[str]:
        """Prism without its web page."""
        level = _LEVELS.get(log_level.upper(), log_level.lower())
        return [self.path, f"--job_port={port}", "--serve_http=false", "--log_kind=text", f"--log_level={level}"]

    def options(self, scratch: Path) -> list[str]:
        """Its name, and no splits.

        Prism 2.77 splits slow bundles of stateful stages, too, and hands the same elements of the same key to two
        bundles at once: one's state is then lost (docs/adr/0004).
        """
        return ["--runner=PrismRunner", "--experiments=prism_disable_sdf_split"]
