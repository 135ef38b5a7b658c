"""What SDXL alone has: two text encoders, a VAE that overflows in half precision, no text as zeros, few steps."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import safetensors.torch
import torch

from contracts import Placement, Prompt, SetupError
from generation import PromptError, RenderRequest, open_backend, place
from generation.diffusion_settings import DiffusionSettings
from generation.model_kind import SDXL
from tests.generation.diffusion_rig import PRODUCTS, by_the_library, jobs, painter, requests, watched
from tests.generation.studio import PROMPTS
from tests.generation.tiny_model import save_tiny_pipeline

# Schedulers of the library turn tensors into arrays in a way that numpy calls old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")


def edit(path: Path, **changed: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.parametrize("model", ["xl-4", "xl-9"])
@pytest.mark.parametrize(
    ("scheduler", "config", "changed"),
    [
        ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}, {"steps": 1, "guidance": 0.0}),
        ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}, {"steps": 4, "guidance": 1.0}),
        ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}, {"steps": 2, "guidance": 0.0}),
        ("LCMScheduler", {"original_inference_steps": 50}, {"steps": 2, "guidance": 1.0, "control_end": 0.5}),
    ],
)
def test_few_steps_with_the_models_own_scheduler(
    models: dict[str, Path], tmp_path: Path, model: str, scheduler: str, config: dict[str, Any], changed: dict[str, Any]
) -> None:
    folder = shutil.copytree(models[model], tmp_path / "turbo")
    kind: Any = getattr(diffusers, scheduler)
    kind(beta_schedule="scaled_linear", **config).save_pretrained(folder / "scheduler")
    edit(folder / "model_index.json", scheduler=["diffusers", scheduler])
    settings = replace(DiffusionSettings(str(folder)), **changed)
    expected = by_the_library(settings, None, jobs())
    assert expected.std() > 0.01
    assert (painter(settings).shares(jobs()) - expected).abs().max() <= 1e-4


def test_each_text_encoder_reads_a_text_once(models: dict[str, Path]) -> None:
    backend, calls, rows = watched(DiffusionSettings(str(models["xl-9"]), steps=3, side=96))
    backend.render(requests())
    # Two texts and one negative: the other prompt has none.
    assert calls == {"text": 3, "text_2": 3, "encode": 4, "edges": 4, "unet": 6, "control": 6}
    assert rows == [8] * 6
    backend.render(requests())
    assert (calls["text"], calls["text_2"], calls["encode"], calls["edges"]) == (3, 3, 4, 4)


@pytest.mark.parametrize("zeros", [True, False])
def test_no_negative_is_what_the_model_was_taught(models: dict[str, Path], tmp_path: Path, zeros: bool) -> None:
    folder = shutil.copytree(models["xl-4"], tmp_path / "model")
    edit(folder / "model_index.json", force_zeros_for_empty_prompt=zeros)
    settings = DiffusionSettings(str(folder), steps=2)
    wanted = [job for job in jobs() if not job.negative]
    assert wanted
    found = painter(settings).shares(wanted)
    assert (found - by_the_library(settings, None, wanted)).abs().max() <= 1e-4


@pytest.mark.filterwarnings("ignore:.*upcast_vae:FutureWarning")
@pytest.mark.parametrize("model", ["xl-4", "xl-9"])
def test_a_vae_that_overflows_in_half_precision_works_in_full(
    models: dict[str, Path], tmp_path: Path, model: str
) -> None:
    folder = shutil.copytree(models[model], tmp_path / "model")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    for name in ("encoder.conv_in.weight", "decoder.conv_in.weight"):
        tensors[name] *= 1e5
    safetensors.torch.save_file(tensors, weights, {"format": "pt"})
    settings = DiffusionSettings(str(folder), steps=2, dtype="float16")
    found = painter(settings).shares(jobs())
    assert found.isfinite().all()
    assert (found - by_the_library(settings, None, jobs())).abs().max() < 0.02
    edit(folder / "vae" / "config.json", force_upcast=False)
    assert not painter(settings).shares(jobs()).isfinite().all()


def test_it_paints_at_the_side_that_its_kind_was_made_for(models: dict[str, Path]) -> None:
    placed = place(PRODUCTS[0], Placement("wide", 2048, 64))
    for model, side in (("xl-9", 1024), ("sd-9", 512)):
        backend, _, _ = watched(DiffusionSettings(str(models[model]), steps=1, guidance=1.0))
        assert f"side={side};" in backend.recipe
        sizes: list[torch.Size] = []
        backend.render([RenderRequest(placed, PROMPTS[0], 1)])
        painted: Any = backend._painter
        painted._unet.register_forward_pre_hook(lambda _, given, sizes=sizes: sizes.append(given[0].shape))
        backend.render([RenderRequest(placed, PROMPTS[0], 2)])
        assert [size[-1] for size in sizes] == [side // 8]


def test_the_smaller_of_two_budgets_rules(models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(models["xl-4"], tmp_path / "model")
    prompt = Prompt("long", "seating", "oak " * 60, "", {})
    open_backend("diffusers", {"model": str(folder)}).check(prompt)
    edit(folder / "text_encoder_2" / "config.json", max_position_embeddings=40)
    backend = open_backend("diffusers", {"model": str(folder)})
    with pytest.raises(PromptError, match="has 62 tokens, the model takes at most 40"):
        backend.check(prompt)
    backend.check(replace(prompt, text="oak " * 38))
    # A second tokenizer that knows fewer words cuts them into more tokens.
    edit(folder / "text_encoder_2" / "config.json", max_position_embeddings=77)
    words = json.loads((folder / "tokenizer_2" / "tokenizer.json").read_text())
    words["model"]["merges"] = []
    (folder / "tokenizer_2" / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(PromptError, match="has 182 tokens, the model takes at most 77"):
        open_backend("diffusers", {"model": str(folder)}).check(prompt)


def test_models_that_paint_no_backgrounds_are_refused(tmp_path: Path) -> None:
    save_tiny_pipeline(tmp_path, kind=SDXL)
    index = tmp_path / "model_index.json"
    edit(index, requires_aesthetics_score=True)
    with pytest.raises(SetupError, match="aesthetics score"):
        open_backend("diffusers", {"model": str(tmp_path)})
    for named in ("StableDiffusion3Pipeline", "PixArtAlphaPipeline", ""):
        edit(index, requires_aesthetics_score=False, _class_name=named)
        with pytest.raises(SetupError, match="use a StableDiffusionControlNetInpaintPipeline or a StableDiffusionXL"):
            open_backend("diffusers", {"model": str(tmp_path)})
    edit(index, _class_name="StableDiffusionXLControlNetInpaintPipeline")
    shutil.rmtree(tmp_path / "text_encoder_2")
    with pytest.raises(SetupError, match=r"no StableDiffusionXLControlNet\w* \(missing: \['text_encoder_2'"):
        open_backend("diffusers", {"model": str(tmp_path)})
