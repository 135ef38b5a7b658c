"""A real browser that opens a page and tells what it then holds."""

import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH: apt install chromium")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--window-size=1280,4000",
    "--virtual-time-budget=8000",
    "--dump-dom",
)


def page_at(url: str, profile: Path) -> tuple[str, str]:
    """The page as the browser holds it after a while, and what the browser complained of; ``profile`` is its folder."""
    assert BROWSER is not None
    command = [BROWSER, *_FLAGS, f"--user-data-dir={profile}", url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout, "\n".join(line for line in ended.stderr.splitlines() if "CONSOLE" in line)
