"""The committed locks, the extras and the Makefile, as a newcomer meets them."""

import re
import subprocess
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from backdrop import __version__
from backdrop.setup import BEAM_VERSION, PROFILES, UV_VERSION, SetupError
from backdrop.setup.locks import refuse_addresses
from backdrop.setup.makehelp import describe_targets

ROOT = Path(__file__).parents[2]
LOCKS = ("demo", "diffusers", "test", "bench", "uv", "weights", "go")
MODEL_LIBRARIES = {"apache-beam", "torch", "diffusers", "transformers", "rembg", "feast"}


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "locks" / f"{lock}.txt").read_text()
    return {name: found for name, found in re.findall(r"^([a-z0-9.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", text, re.MULTILINE)}


def extra(name: str) -> set[str]:
    lines = [line for line in requires("backdrop-ads") or [] if re.search(rf"extra == ['\"]{name}['\"]", line)]
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0] for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_index(lock: str) -> None:
    refuse_addresses(ROOT / "locks" / f"{lock}.txt")


@pytest.mark.parametrize("line", ["--index-url https://a.example", "x @ https://a.example/x.whl", "--find-links /x"])
def test_a_lock_that_names_an_index_is_refused(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "bad.txt"
    lock.write_text(f"numpy==2.4.6\n{line}\n")
    with pytest.raises(SetupError, match=r"bad\.txt line 2"):
        refuse_addresses(lock)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_of_a_lock_has_a_hash(lock: str) -> None:
    text = (ROOT / "locks" / f"{lock}.txt").read_text()
    requirements = re.split(r"\n(?=[a-z])", text.partition("make lock\n")[2])
    assert requirements
    assert all("--hash=sha256:" in requirement for requirement in requirements)


@pytest.mark.parametrize("lock", ["demo", "diffusers", "bench"])
def test_locks_agree_on_versions(lock: str) -> None:
    everything = pins("test")
    # The libraries to measure against are in one environment only.
    known = everything if lock != "bench" else pins("bench") | everything
    assert {name: found for name, found in pins(lock).items() if known.get(name) != found} == {}


def test_the_demo_leaves_torch_out() -> None:
    assert not {"torch", "diffusers", "transformers"} & set(pins("demo"))
    assert {"torch", "diffusers", "transformers"} <= set(pins("diffusers"))


def test_pins_agree_with_the_locks() -> None:
    assert pins("uv") == {"uv": UV_VERSION}
    assert pins("demo")["apache-beam"] == BEAM_VERSION
    assert set(PROFILES) == {"demo", "diffusers", "test", "bench"}


@pytest.mark.parametrize("name", ["serving", "client", "cli", "stores", "embedded"])
def test_light_extras_need_no_model_library(name: str) -> None:
    assert extra(name)
    assert not extra(name) & MODEL_LIBRARIES


def test_there_is_one_version() -> None:
    assert version("backdrop-ads") == __version__


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    listed = [line.split()[1] for line in describe_targets(makefile).splitlines()]
    assert listed == phony.group(1).split()
    assert listed == re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE)


def test_a_built_package_holds_every_file_that_runs_need(tmp_path: Path) -> None:
    folders = ("egg_info", "--egg-base", str(tmp_path), "build", "--build-base", str(tmp_path / "build"))
    wheel = ("bdist_wheel", "--dist-dir", str(tmp_path))
    subprocess.run([sys.executable, "setup.py", "-q", *folders, *wheel], cwd=ROOT, check=True, timeout=240)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as file:
        held = set(file.namelist())
    kinds = ("**/py.typed", "**/*.lua", "**/static/*", "**/*.yaml", "catalogue/**/*.parquet", "catalogue/**/*.png")
    needed = {
        str(path.relative_to(ROOT))
        for package in ("contracts", "stores", "serving", "demo", "feature_repo", "backdrop")
        for kind in kinds
        for path in (ROOT / package).glob(kind)
    }
    assert needed - held == set()
    assert not [name for name in held if name.startswith("tests/")]
