"""Removes what set-up and runs leave behind."""

import shutil
from pathlib import Path

from backdrop.setup.layout import Layout
from backdrop.setup.pins import PROFILES

_CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache", "build", "dist")


def remove_state(layout: Layout) -> list[Path]:
    """Remove the state of runs from .backdrop and return what was removed; tools and weights stay."""
    kept = {layout.tools, layout.weights.parent, layout.lock}
    found = [path for path in layout.home.glob("*") if path not in kept]
    return _remove(found)


def remove_everything(layout: Layout) -> list[Path]:
    """Remove every environment, .backdrop and the caches of tools, and return what was removed."""
    environments = [layout.root / name for name in sorted({profile.environment for profile in PROFILES.values()})]
    caches = [layout.root / name for name in _CACHES]
    return _remove([*environments, layout.home, *caches, *layout.root.glob("*.egg-info")])


def _remove(paths: list[Path]) -> list[Path]:
    there = [path for path in paths if path.exists() or path.is_symlink()]
    for path in there:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return there
