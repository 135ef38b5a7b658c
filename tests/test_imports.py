"""What each package loads, seen from outside: in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "contracts",
    "learner",
    "generation",
    "feature_repo",
    "stores",
    "beam_pipelines",
    "serving",
    "backdrop",
    "demo",
)
HEAVY = {"apache_beam", "torch", "diffusers", "transformers", "rembg", "feast"}


def loaded_by(statement: str, *options: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after a statement."""
    code = (
        f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    found = subprocess.run(
        [sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stderr
    names: list[str] = json.loads(found.stdout.splitlines()[-1])
    return set(names)


@pytest.mark.parametrize("package", ["serving", "stores", "learner", "contracts", "backdrop.cli"])
def test_light_packages_load_no_model_library(package: str) -> None:
    assert loaded_by(f"import {package}") & HEAVY == set()


def test_every_module_of_serving_loads_no_model_library() -> None:
    walk = (
        "import importlib, pkgutil, serving\n"
        "for found in pkgutil.walk_packages(serving.__path__, 'serving.'):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        importlib.import_module(found.name)"
    )
    assert loaded_by(walk) & HEAVY == set()


def test_learner_needs_only_numpy_and_contracts() -> None:
    loaded = loaded_by("import learner")
    assert loaded & {"redis", "uvicorn", "PIL", "structlog", "pydantic"} == set()


def test_setup_needs_only_the_standard_library() -> None:
    # -S: without site-packages, as on a machine where nothing is installed.
    loaded = loaded_by("import sys; sys.path.insert(0, '.'); import backdrop.setup, backdrop.doctor", "-S", "-I")
    assert loaded & {"numpy", "pyarrow", "typer", "rich"} == set()
    assert "backdrop" in loaded


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_ships_its_types(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_declared(package: str) -> None:
    names = "import importlib, sys; m = importlib.import_module(sys.argv[1]); [getattr(m, n) for n in m.__all__]"
    found = subprocess.run(
        [sys.executable, "-c", names, package], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert found.returncode == 0, found.stderr
