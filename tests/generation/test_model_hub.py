"""Models by hub id, from a hub on loopback: fetched when that is allowed, pinned, and refused with a reason."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from beam_pipelines.generate import job
from beam_pipelines.generate.manifest import read_manifest
from beam_pipelines.generate.settings import StageSettings
from contracts import ORIGINAL_ARM, SetupError
from generation import open_backend
from stores import open_objects
from tests.beam_pipelines.generate.shop import needs_weights, open_shop, row
from tests.generation.diffusion_rig import requests
from tests.generation.hub_server import HubServer
from tests.generation.mischief import closed_port

# As a user would: the hub library reads its environment once, when it is imported.
OPEN = """
import json, sys
from contracts import BackdropError
from generation import open_backend, pinned_options
options = json.loads(sys.argv[1])
try:
    pinned = pinned_options("diffusers", options)
    print(json.dumps([open_backend("diffusers", options).recipe, dict(pinned)]))
except BackdropError as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""
ID = "maker/tiny-model"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hub(models: dict[str, Path]) -> Iterator[HubServer]:
    """A hub with a model, and beside it what is not needed of it."""
    with HubServer() as server:
        extra = {"README.md": b"# A model", "unet/diffusion_pytorch_model.bin": b"pickle", "setup.py": b"raise"}
        server.push(ID, files_of(models["xl-9"]) | extra)
        yield server


class Machine:
    """A machine with a cache of its own that asks a hub."""

    def __init__(self, cache: Path, endpoint: str) -> None:
        self.cache = cache
        self.environment = {
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HUB_OFFLINE": "0",
            "TRANSFORMERS_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
            "HF_HUB_CACHE": str(cache),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def open(self, **options: str) -> tuple[str, dict[str, str]]:
        found = self._run(options)
        assert not isinstance(found, str), found
        return found

    def refused(self, **options: str) -> str:
        said = self._run(options)
        assert isinstance(said, str), said
        assert said.startswith("SetupError: ")
        return said

    def _run(self, options: dict[str, str]) -> tuple[str, dict[str, str]] | str:
        command = [sys.executable, "-c", OPEN, json.dumps(options)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        return found if isinstance(found, str) else (found[0], found[1])


@pytest.fixture
def machine(tmp_path: Path, hub: HubServer) -> Machine:
    return Machine(tmp_path / "cache", hub.url)


def test_a_model_is_fetched_once_allowed_and_then_found_without_a_hub(
    hub: HubServer, machine: Machine, models: dict[str, Path]
) -> None:
    assert f"`hf download {ID} --revision main`" in machine.refused(model=ID)
    assert "download=yes" in machine.refused(model=ID)
    assert hub.requests == 0
    recipe, pinned = machine.open(model=ID, download="yes")
    commit = hub.branches[ID, "main"]
    assert pinned["model"] == f"{ID}@{commit}"
    assert f"model={ID}@{commit};" in recipe
    # Each file that is used once, and nothing else.
    assert hub.asked == {name: 1 for name in files_of(models["xl-9"])}
    asked = hub.requests
    assert machine.open(model=ID)[0] == recipe
    assert machine.open(model=f"{ID}@{commit}", download="yes")[0] == recipe
    assert hub.requests == asked
    # What was fetched paints.
    snapshot = machine.cache / "models--maker--tiny-model" / "snapshots" / commit
    fetched = open_backend("diffusers", {"model": str(snapshot), "steps": "1", "side": "64"})
    assert fetched.render(requests()[:1])[0].std() > 1
    # The same files in a folder have the same digest.
    folder = open_backend("diffusers", {"model": str(models["xl-9"])}).recipe
    assert recipe.partition(";")[0] == folder.partition(";")[0]


def test_a_branch_that_moves_changes_nothing_unasked(
    hub: HubServer, machine: Machine, models: dict[str, Path], tmp_path: Path
) -> None:
    recipe, _ = machine.open(model=ID, download="yes")
    first, second = hub.branches[ID, "main"], hub.push(ID, files_of(models["xl-4"]))
    assert machine.open(model=ID, download="yes")[0] == recipe
    elsewhere = Machine(tmp_path / "other", hub.url)
    assert elsewhere.open(model=f"{ID}@{first}", download="yes")[0] == recipe
    newer, pinned = machine.open(model=f"{ID}@{second}", download="yes")
    assert pinned["model"] == f"{ID}@{second}"
    assert newer != recipe
    hub.push(ID, files_of(models["xl-4"]), "v2")
    assert machine.open(model=f"{ID}@v2", download="yes") == (newer, {**pinned, "model": f"{ID}@{second}"})


def test_what_a_hub_lacks_is_said(hub: HubServer, machine: Machine, models: dict[str, Path]) -> None:
    assert "there is no model maker/none" in machine.refused(model="maker/none", download="yes")
    assert "has no revision 'v9'" in machine.refused(model=f"{ID}@v9", download="yes")
    files = files_of(models["sd-4"])
    weights = "unet/diffusion_pytorch_model.safetensors"
    hub.push("maker/pickles", {n: d for n, d in files.items() if n != weights} | {weights[:-11] + "bin": b"x"})
    said = machine.refused(model="maker/pickles", download="yes")
    assert "holds its weights only as diffusion_pytorch_model.bin: files that can run code are not read" in said
    hub.push("maker/half", {name: data for name, data in files.items() if not name.startswith("vae/")})
    assert "missing: ['vae']" in machine.refused(model="maker/half", download="yes")
    # Refused before anything large is fetched.
    assert set(hub.asked) == {"model_index.json"}


def test_a_file_cut_off_is_refused_and_fetched_again(hub: HubServer, machine: Machine, models: dict[str, Path]) -> None:
    name = "unet/diffusion_pytorch_model.safetensors"
    hub.cut = {name}
    assert f"model {ID}" in machine.refused(model=ID, download="yes")
    hub.cut = set()
    machine.open(model=ID, download="yes")
    # One that the hub itself has in part.
    files = files_of(models["sd-4"])
    hub.push("maker/torn", files | {name: files[name][:-100]})
    said = machine.refused(model="maker/torn", download="yes")
    assert "its header says" in said
    assert "`hf cache rm model/maker/torn`" in said


def test_a_hub_out_of_reach_is_said(tmp_path: Path, hub: HubServer) -> None:
    cache = tmp_path / "cache"
    gone = Machine(cache, f"http://127.0.0.1:{closed_port()}")
    assert f"model {ID}@main could not be fetched" in gone.refused(model=ID, download="yes")
    recipe, _ = Machine(cache, hub.url).open(model=ID, download="yes")
    assert gone.open(model=ID, download="yes")[0] == recipe


def test_base_and_controlnet_of_their_own_repositories(
    hub: HubServer, machine: Machine, models: dict[str, Path]
) -> None:
    files = files_of(models["sd-9"])
    index = json.loads(files["model_index.json"]) | {"_class_name": "StableDiffusionInpaintPipeline"}
    index.pop("controlnet")
    own = {name.removeprefix("controlnet/"): data for name, data in files.items() if name.startswith("controlnet/")}
    base = {name: data for name, data in files.items() if not name.startswith("controlnet/")}
    hub.push("maker/base", base | {"model_index.json": json.dumps(index).encode()})
    hub.push("other/edges", own | {"README.md": b"", "diffusion_pytorch_model.bin": b"pickle"})
    assert "controlnet=OWNER/NAME" in machine.refused(model="maker/base", download="yes")
    recipe, pinned = machine.open(model="maker/base", controlnet="other/edges", download="yes")
    commit = hub.branches["other/edges", "main"]
    assert pinned["controlnet"] == f"other/edges@{commit}"
    assert f"controlnet=other/edges@{commit};" in recipe
    assert "diffusion_pytorch_model.bin" not in hub.asked
    hub.push("other/pickled", {"config.json": own["config.json"], "diffusion_pytorch_model.bin": b"x"})
    assert "only as diff" in machine.refused(model="maker/base", controlnet="other/pickled", download="yes")
    assert "controlnet = 'other/no' is no folder" in machine.refused(model="maker/base", controlnet="other/no")


@needs_weights
def test_a_job_names_pictures_and_tells_its_workers_the_commit(
    hub: HubServer, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.open(model=ID, download="yes")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(machine.cache))
    told: list[StageSettings] = []

    def settings(*given: Any) -> StageSettings:
        told.append(stage_settings(*given))
        return told[-1]

    stage_settings = job._settings
    monkeypatch.setattr(job, "_settings", settings)
    options = {"model": ID, "steps": "1", "side": "64", "guidance": "0"}
    config = open_shop(tmp_path, [row("stool")], backend="diffusers", backend_options=options, attempts=1)
    job.run_job(config, lambda _: None)
    pinned = f"{ID}@{hub.branches[ID, 'main']}"
    assert [dict(each.backend_options) for each in told] == [{**options, "model": pinned}]
    made = [each for each in read_manifest(open_objects(config.objects_uri)).values() if each.arm != ORIGINAL_ARM]
    assert made
    assert all(f"model={pinned};" in each.recipe for each in made)


@pytest.mark.parametrize("text", ["../up", "a/../b", "owner/name@../x", "owner/name@", "/no/such/folder", "name"])
def test_what_is_no_id_is_a_folder_that_lacks_a_model(text: str) -> None:
    with pytest.raises(SetupError, match="is no StableDiffusionControlNetInpaintPipeline"):
        open_backend("diffusers", {"model": text, "download": "yes"})
