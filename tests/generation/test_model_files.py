"""Models put together from folders: a base, a ControlNet of its own, weights in several files, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest

from contracts import SetupError
from generation import open_backend
from generation.diffusion_settings import DiffusionSettings
from tests.generation.diffusion_rig import jobs, painter

UNET, STEM = "unet", "diffusion_pytorch_model"


def apart(model: Path, folder: Path, saved_as: str) -> tuple[Path, Path]:
    """A model's base as a pipeline without a ControlNet is saved, and its ControlNet in a folder of its own."""
    base, controlnet = shutil.copytree(model, folder / "base"), folder / "edges"
    shutil.move(base / "controlnet", controlnet)
    index = json.loads((base / "model_index.json").read_text())
    del index["controlnet"]
    (base / "model_index.json").write_text(json.dumps(index | {"_class_name": saved_as}))
    return base, controlnet


@pytest.mark.parametrize(
    ("model", "saved_as"),
    [
        ("sd-4", "StableDiffusionPipeline"),
        ("sd-9", "StableDiffusionInpaintPipeline"),
        ("xl-4", "StableDiffusionXLPipeline"),
        ("xl-9", "StableDiffusionXLInpaintPipeline"),
    ],
)
def test_a_base_with_a_controlnet_beside_it_paints_as_the_whole_does(
    models: dict[str, Path], tmp_path: Path, model: str, saved_as: str
) -> None:
    base, controlnet = apart(models[model], tmp_path, saved_as)
    with pytest.raises(SetupError, match=r"missing: \['controlnet'\]\): name one by the option controlnet=FOLDER"):
        open_backend("diffusers", {"model": str(base)})
    whole = painter(DiffusionSettings(str(models[model]), steps=2)).shares(jobs())
    put = painter(DiffusionSettings(str(base), steps=2, controlnet=str(controlnet))).shares(jobs())
    assert (whole == put).all()
    given = {"model": str(base), "controlnet": str(controlnet)}
    recipe = open_backend("diffusers", given).recipe
    (controlnet / f"{STEM}.safetensors").write_bytes((models["sd-4"] / UNET / f"{STEM}.safetensors").read_bytes())
    assert open_backend("diffusers", given).recipe != recipe


def test_a_controlnet_given_replaces_the_models_own(models: dict[str, Path], tmp_path: Path) -> None:
    model = shutil.copytree(models["sd-4"], tmp_path / "model")
    controlnet = shutil.copytree(model / "controlnet", tmp_path / "edges")
    (model / "controlnet" / f"{STEM}.safetensors").unlink()
    open_backend("diffusers", {"model": str(model), "controlnet": str(controlnet)})
    with pytest.raises(SetupError, match=r"lacks .*controlnet/diffusion_pytorch_model\.safetensors"):
        open_backend("diffusers", {"model": str(model)})


def test_a_controlnet_that_does_not_fit_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    for model, other in (("xl-9", "sd-4"), ("sd-4", "xl-9")):
        given = {"model": str(models[model]), "controlnet": str(models[other] / "controlnet")}
        with pytest.raises(SetupError, match="does not fit the model: its cross_attention_dim is"):
            open_backend("diffusers", given)
    with pytest.raises(SetupError, match="holds a UNet2DConditionModel: use a ControlNetModel"):
        open_backend("diffusers", {"model": str(models["sd-4"]), "controlnet": str(models["sd-4"] / UNET)})
    with pytest.raises(SetupError, match=r"config\.json cannot be read"):
        open_backend("diffusers", {"model": str(models["sd-4"]), "controlnet": str(tmp_path)})


def test_weights_in_several_files(models: dict[str, Path], tmp_path: Path) -> None:
    model = shutil.copytree(models["sd-9"], tmp_path / "model")
    loader: Any = diffusers.UNet2DConditionModel
    unet = loader.from_pretrained(str(model / UNET))
    (model / UNET / f"{STEM}.safetensors").unlink()
    unet.save_pretrained(str(model / UNET), max_shard_size="300KB")
    shards = sorted((model / UNET).glob("*-of-*.safetensors"))
    assert len(shards) > 1
    settings = DiffusionSettings(str(model), steps=2)
    whole = painter(DiffusionSettings(str(models["sd-9"]), steps=2)).shares(jobs())
    assert (painter(settings).shares(jobs()) == whole).all()
    shards[-1].unlink()
    with pytest.raises(SetupError, match=rf"lacks .*{shards[-1].name}"):
        open_backend("diffusers", {"model": str(model)})


def test_pickled_weights_are_not_read(models: dict[str, Path], tmp_path: Path) -> None:
    model = shutil.copytree(models["sd-4"], tmp_path / "model")
    beside = model / "text_encoder" / "pytorch_model.bin"
    beside.write_bytes(b"anything")
    whole = open_backend("diffusers", {"model": str(models["sd-4"])})
    assert open_backend("diffusers", {"model": str(model)}).recipe == whole.recipe
    (model / "text_encoder" / "model.safetensors").unlink()
    with pytest.raises(SetupError, match=r"text_encoder/ holds its weights only as pytorch_model\.bin"):
        open_backend("diffusers", {"model": str(model)})
