"""Beam's Prism runner: found, downloaded or built, in that order."""

import os
import platform
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backdrop.setup.errors import SetupError
from backdrop.setup.layout import Layout
from backdrop.setup.network import download
from backdrop.setup.pins import BEAM_VERSION, GO_MINIMUM, PRISM_PACKAGE, PRISM_RELEASES
from backdrop.setup.process import Runner, output_of

_FIX = (
    f"put Beam's prism {BEAM_VERSION} on PATH or name it in BACKDROP_PRISM, or let this machine reach a Go module "
    "proxy (GOPROXY), then run the same command again"
)
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def is_prism_current(layout: Layout) -> bool:
    """Return whether the tools folder holds a runner of the Beam version in use."""
    try:
        stored = layout.prism_version.read_text().split()
    except OSError:
        return False
    return stored[:1] == [BEAM_VERSION] and os.access(layout.prism, os.X_OK)


@dataclass(frozen=True, slots=True)
class PrismSetup:
    """Puts a Prism binary (or a link to the one that is there) into the tools folder.

    Attributes:
        layout: paths of the checkout.
        runner: runs programs; its environment decides PATH, BACKDROP_PRISM and Go's settings.
        install_go: installs Go from its Python package into a folder and returns the go program.
    """

    layout: Layout
    runner: Runner
    install_go: Callable[[Path], Path]

    def ensure(self) -> None:
        """Do nothing where the runner is there, else get it.

        Raises:
            SetupError: BACKDROP_PRISM names something else, or no source worked.
        """
        if is_prism_current(self.layout):
            return
        self.layout.tools.mkdir(parents=True, exist_ok=True)
        given = self._given()
        if given is not None:
            self._link(given)
            return
        try:
            self._released()
        except SetupError as error:
            self.runner.console.say(f"  Beam's release is out of reach ({error}); building Prism with Go instead")
            self._built()

    def _given(self) -> Path | None:
        named = self.runner.env.get("BACKDROP_PRISM", "")
        if named and not self._is_prism(Path(named)):
            message = f"BACKDROP_PRISM names {named!r}, which is not Beam's prism: correct it or unset it"
            raise SetupError(message)
        if named:
            return Path(named).resolve()
        found = shutil.which("prism", path=self.runner.env.get("PATH", ""))
        # Other programs have the same name.
        return Path(found).resolve() if found and self._is_prism(Path(found)) else None

    def _is_prism(self, program: Path) -> bool:
        return "job_port" in (output_of([str(program), "--help"], self.runner.env) or "")

    def _link(self, program: Path) -> None:
        beside = self.layout.scratch / "prism.link"
        beside.unlink(missing_ok=True)
        beside.symlink_to(program)
        self._publish(beside, f"link to {program}")
        self.runner.console.say(f"  Prism: using {program}")

    def _released(self) -> None:
        name, url = release_asset(platform.system(), platform.machine())
        archive = self.layout.scratch / f"{name}.zip"
        download(url, archive, label=f"Prism {BEAM_VERSION} (Beam's release)", console=self.runner.console)
        try:
            with zipfile.ZipFile(archive) as file:
                program = Path(file.extract(name, self.layout.scratch))
        except (zipfile.BadZipFile, KeyError) as error:
            message = f"{url} is not the archive that was expected: {error}"
            raise SetupError(message) from error
        self._finish(program, "Beam's release")

    def _built(self) -> None:
        found = shutil.which("go", path=self.runner.env.get("PATH", ""))
        work = self.layout.scratch / "go"
        env = {"GOBIN": str(self.layout.scratch), "CGO_ENABLED": "0"}
        if found and go_version(output_of([found, "version"], self.runner.env) or "") >= GO_MINIMUM:
            go = Path(found)
        else:
            go = self.install_go(work / "sdk")
            # Nothing of a Go that was fetched for this one build stays behind, inside the checkout or outside.
            env |= {
                "GOROOT": str(go.parent.parent),
                "GOPATH": str(work / "path"),
                "GOCACHE": str(work / "cache"),
                "GOENV": "off",
                "XDG_CONFIG_HOME": str(work / "config"),
                "GOFLAGS": "-modcacherw",
                "GOTOOLCHAIN": "local",
            }
        self.runner.run(
            [str(go), "install", PRISM_PACKAGE],
            label=f"Prism {BEAM_VERSION}, built with Go (about three minutes, once)",
            fix=_FIX,
            env=env,
        )
        self._finish(self.layout.scratch / "prism", "go install")

    def _finish(self, program: Path, source: str) -> None:
        program.chmod(0o755)
        if not self._is_prism(program):
            message = f"the prism from {source} does not run on this machine: {_FIX}"
            raise SetupError(message)
        self._publish(program, source)

    def _publish(self, program: Path, source: str) -> None:
        os.replace(program, self.layout.prism)
        beside = self.layout.scratch / "prism.version"
        beside.write_text(f"{BEAM_VERSION} {source}\n")
        os.replace(beside, self.layout.prism_version)


def release_asset(system: str, machine: str) -> tuple[str, str]:
    """Return name and URL of the release archive for a platform, as Beam's own runner builds them.

    Raises:
        SetupError: Beam releases no binary for this platform.
    """
    arch = _MACHINES.get(machine.lower())
    if system.lower() not in {"linux", "darwin"} or arch is None:
        message = f"Beam releases no Prism for {system} on {machine}"
        raise SetupError(message)
    name = f"apache_beam-v{BEAM_VERSION}-prism-{system.lower()}-{arch}"
    return name, f"{PRISM_RELEASES}/v{BEAM_VERSION}/{name}.zip"


def go_version(text: str) -> tuple[int, int]:
    """Parse what `go version` prints into (major, minor); (0, 0) where it is something else."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)
