"""Backdrop's command line, settings and set-up: the package that wires all others.

This module is imported by `python3.11 -m backdrop.setup` before anything is installed: standard library only.
"""

from backdrop.version import __version__

__all__ = ["__version__"]
