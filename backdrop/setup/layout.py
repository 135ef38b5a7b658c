"""Where set-up puts things, as one value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths under one checkout.

    Attributes:
        root: folder that holds setup.py and the Makefile.
        environment: name of the virtual environment's folder in it.
    """

    root: Path
    environment: str = ".venv"

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.root / self.environment

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / "bin" / "python"

    @property
    def uv(self) -> Path:
        """The environment's uv."""
        return self.venv / "bin" / "uv"

    @property
    def stamps(self) -> Path:
        """JSON object: profile -> key of what was installed for it."""
        return self.venv / "backdrop-setup.json"

    @property
    def installing(self) -> Path:
        """Exists while packages are being written; found at start, it tells of a run that was killed."""
        return self.venv / "backdrop-installing"

    @property
    def home(self) -> Path:
        """State of runs, tools and weights."""
        return self.root / ".backdrop"

    @property
    def tools(self) -> Path:
        """Folder of fetched programs."""
        return self.home / "tools"

    @property
    def prism(self) -> Path:
        """Beam's Prism runner."""
        return self.tools / "prism"

    @property
    def prism_version(self) -> Path:
        """Text beside the runner: its version and where it came from."""
        return self.tools / "prism.version"

    @property
    def flink(self) -> Path:
        """Folder of the Flink job server's jars, with the pom.xml that they come from."""
        return self.tools / "flink"

    @property
    def flink_pom(self) -> Path:
        """What the Flink job server consists of."""
        return self.root / "deploy" / "flink" / "pom.xml"

    @property
    def weights(self) -> Path:
        """Segmentation network."""
        return self.home / "weights" / "u2netp.onnx"

    @property
    def log(self) -> Path:
        """Everything that child processes of the last set-up wrote."""
        return self.home / "setup.log"

    @property
    def lock(self) -> Path:
        """File that keeps two set-ups of one checkout from running at once."""
        return self.home / "setup.lock"

    @property
    def scratch(self) -> Path:
        """Folder of unfinished downloads and builds, on the same file system as their targets."""
        return self.home / "setup.tmp"

    def packages(self, name: str) -> Path:
        """Path of the lock file with this name."""
        return self.root / "locks" / f"{name}.txt"
