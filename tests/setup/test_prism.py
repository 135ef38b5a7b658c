import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from apache_beam.runners.portability.prism_runner import PrismJobServer

from backdrop.setup import BEAM_VERSION, Layout, SetupError, is_prism_current
from backdrop.setup.console import Console
from backdrop.setup.prism import PrismSetup, go_version, release_asset
from backdrop.setup.process import Runner, Signals

BEAMS_PRISM = "#!/bin/sh\necho '  -job_port int'\nexit 2\n"
ANOTHER_PRISM = "#!/bin/sh\necho 'prism: mock HTTP servers'\n"


def no_go(folder: Path) -> Path:
    pytest.fail(f"must not install Go into {folder}")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., PrismSetup]:
    layout = Layout(tmp_path)
    layout.scratch.mkdir(parents=True)

    def build(**env: str) -> PrismSetup:
        console = Console(io.StringIO(), is_terminal=False)
        runner = Runner(console, Signals(), {"PATH": os.defpath, **env}, layout.log, tmp_path)
        return PrismSetup(layout, runner, no_go)

    return build


@pytest.mark.parametrize("system", ["Linux", "Darwin"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "arm64", "AMD64"])
def test_the_release_is_the_one_that_beam_itself_would_fetch(system: str, machine: str) -> None:
    _, url = release_asset(system, machine)
    assert url == PrismJobServer._construct_download_url(f"v{BEAM_VERSION}", f"v{BEAM_VERSION}", system, machine)


def test_a_platform_without_release_is_named() -> None:
    with pytest.raises(SetupError, match="Linux on riscv64"):
        release_asset("Linux", "riscv64")


def test_a_prism_on_path_is_used_and_then_left_alone(make: Callable[..., PrismSetup], tmp_path: Path) -> None:
    there = program(tmp_path / "bin" / "prism", BEAMS_PRISM)
    setup = make(PATH=f"{there.parent}:/usr/bin:/bin")
    assert not is_prism_current(setup.layout)
    setup.ensure()
    assert setup.layout.prism.resolve() == there
    assert is_prism_current(setup.layout)
    setup.ensure()


def test_a_link_whose_target_is_gone_is_not_current(make: Callable[..., PrismSetup], tmp_path: Path) -> None:
    there = program(tmp_path / "bin" / "prism", BEAMS_PRISM)
    setup = make(BACKDROP_PRISM=str(there))
    setup.ensure()
    there.unlink()
    assert not is_prism_current(setup.layout)


def test_another_version_is_not_current(make: Callable[..., PrismSetup], tmp_path: Path) -> None:
    setup = make(BACKDROP_PRISM=str(program(tmp_path / "bin" / "prism", BEAMS_PRISM)))
    setup.ensure()
    setup.layout.prism_version.write_text("2.0.0 go install\n")
    assert not is_prism_current(setup.layout)


@pytest.mark.parametrize("text", [ANOTHER_PRISM, None])
def test_a_wrong_backdrop_prism_is_refused(make: Callable[..., PrismSetup], tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "bin" / "prism"
    if text is not None:
        program(path, text)
    with pytest.raises(SetupError, match=r"BACKDROP_PRISM names .*, which is not Beam's prism"):
        make(BACKDROP_PRISM=str(path)).ensure()
    assert not (tmp_path / ".backdrop/tools/prism").exists()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.6 linux/amd64", (1, 26)),
        ("go version go2.0 linux/amd64", (2, 0)),
        ("command not found", (0, 0)),
    ],
)
def test_go_says_its_version(text: str, version: tuple[int, int]) -> None:
    assert go_version(text) == version
