"""The diffusers backend against the library's own pipeline, and how often it runs each network."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from contracts import Placement, Prompt, SettingsError
from generation import RenderRequest, place
from generation.control import canvas
from generation.diffusion import DiffusersBackend
from generation.diffusion_painter import Job, Painter, Stand
from generation.diffusion_pipeline import Models, load_models
from generation.diffusion_settings import DiffusionSettings
from tests.generation.studio import PROMPTS, cutout
from tests.generation.tiny_model import save_tiny_pipeline

# Schedulers of the library turn tensors into arrays in a way that numpy calls old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")

SIZE = (64, 48)
PRODUCTS = (cutout(), cutout(colour=(30, 90, 160)))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A model of each kind of UNet: 4 channels (kept latents are pasted each step) and 9 (it is shown the mask)."""
    folders = {channels: tmp_path_factory.mktemp(f"tiny-{channels}") for channels in (4, 9)}
    for channels, folder in folders.items():
        save_tiny_pipeline(folder, channels)
    return folders


def jobs() -> list[Job]:
    """Each product with each prompt."""
    stands = [Stand(str(i), SIZE, place(product, Placement("slot", *SIZE))) for i, product in enumerate(PRODUCTS)]
    wanted = [(stand, prompt) for stand in stands for prompt in PROMPTS]
    return [Job(prompt.text, prompt.negative, seed, stand) for seed, (stand, prompt) in enumerate(wanted)]


def painter(settings: DiffusionSettings) -> Painter:
    return Painter(load_models(settings), settings)


def by_the_library(settings: DiffusionSettings, scheduler: Callable[[Any], Any], wanted: Sequence[Job]) -> torch.Tensor:
    """The pictures as the library's pipeline paints them, one call each."""

    class Steady(diffusers.StableDiffusionControlNetInpaintPipeline):
        vae: Any

        def _encode_vae_image(self, image: torch.Tensor, generator: Any) -> torch.Tensor:
            latents: torch.Tensor = self.vae.encode(image).latent_dist.mode() * self.vae.config.scaling_factor
            return latents

    loader: Any = Steady
    pipeline = loader.from_pretrained(settings.model, safety_checker=None, requires_safety_checker=False)
    pipeline.scheduler = scheduler(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    pictures = []
    for job in wanted:
        shown = canvas(job.stand.placed, job.stand.size, settings.into)
        result = pipeline(
            prompt=job.text,
            negative_prompt=job.negative,
            image=Image.fromarray(shown.image),
            mask_image=Image.fromarray(shown.mask),
            control_image=Image.fromarray(shown.edges).convert("RGB"),
            width=job.stand.size[0],
            height=job.stand.size[1],
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            controlnet_conditioning_scale=settings.control,
            control_guidance_end=settings.control_end,
            generator=torch.Generator("cpu").manual_seed(job.seed),
            output_type="pt",
        )
        pictures.append(result.images[0])
    return torch.stack(pictures)


@pytest.mark.parametrize("channels", [4, 9])
@pytest.mark.parametrize(
    ("name", "kind", "changed"),
    [
        ("model", "DDIMScheduler", {}),
        ("dpm", "DPMSolverMultistepScheduler", {"control_end": 0.5}),
        ("euler", "EulerDiscreteScheduler", {"steps": 3}),
        ("lcm", "LCMScheduler", {"guidance": 1.0}),
        ("unipc", "UniPCMultistepScheduler", {"guidance": 3.0, "control": 1.0}),
    ],
)
def test_it_paints_what_the_librarys_pipeline_paints(
    models: dict[int, Path], channels: int, name: str, kind: str, changed: dict[str, Any]
) -> None:
    settings = replace(DiffusionSettings(str(models[channels]), steps=4, scheduler=name), **changed)
    wanted = jobs()
    expected = by_the_library(settings, getattr(diffusers, kind).from_config, wanted)
    assert expected.std() > 0.01
    assert (painter(settings).shares(wanted) - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("channels", [4, 9])
def test_a_batch_gives_what_single_jobs_give(models: dict[int, Path], channels: int) -> None:
    settings = DiffusionSettings(str(models[channels]), steps=4, control_end=0.75, guidance_end=0.5, scheduler="lcm")
    together = painter(settings).shares(jobs())
    alone = torch.cat([painter(settings).shares([job]) for job in jobs()])
    assert (together - alone).abs().max() <= 1e-4


def watched(settings: DiffusionSettings) -> tuple[DiffusersBackend, Counter[str], list[int]]:
    """A backend, how often each of its networks ran, and the rows of each run of the UNet."""
    calls: Counter[str] = Counter()
    rows: list[int] = []

    def count(name: str, _module: Any, given: tuple[Any, ...], _found: Any) -> None:
        calls[name] += 1
        if name == "unet":
            rows.append(len(given[0]))

    def load(wanted: DiffusionSettings) -> Models:
        found = load_models(wanted)
        pipeline = found.pipeline
        networks = {"text": pipeline.text_encoder, "encode": pipeline.vae.encoder, "edges": found.edges}
        for name, network in {**networks, "unet": pipeline.unet, "control": pipeline.controlnet}.items():
            network.register_forward_hook(partial(count, name))
        return found

    return DiffusersBackend(settings, load), calls, rows


def requests() -> list[RenderRequest]:
    """Two products in two slots with two prompts: 4 placed products, 2 texts and 2 negatives."""
    slots = (Placement("square", 64, 64), Placement("banner", 96, 48))
    placed = [place(product, slot) for product in PRODUCTS for slot in slots]
    return [RenderRequest(p, prompt, seed) for p in placed for seed, prompt in enumerate(PROMPTS)]


def test_texts_and_products_are_encoded_once_and_a_batch_takes_one_call_a_step(models: dict[int, Path]) -> None:
    backend, calls, rows = watched(DiffusionSettings(str(models[9]), steps=3, batch=4))
    first = backend.render(requests())
    # Two sizes, a batch of four each, of which both halves of guidance are one call.
    assert calls == {"text": 4, "encode": 4, "edges": 4, "unet": 6, "control": 6}
    assert rows == [8] * 6
    again = backend.render([replace(request, placed=replace(request.placed)) for request in requests()])
    assert (calls["text"], calls["encode"], calls["edges"]) == (4, 4, 4)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    other = Prompt("new", "seating", "a chair on marble", "", {})
    backend.render([RenderRequest(requests()[0].placed, other, 1)])
    assert (calls["text"], calls["encode"]) == (5, 4)


def test_guidance_and_control_end_when_they_should(models: dict[int, Path]) -> None:
    settings = DiffusionSettings(str(models[4]), steps=4, guidance_end=0.5, control_end=0.25)
    backend, calls, rows = watched(settings)
    pictures = backend.render(requests()[:2])
    assert rows == [4, 4, 2, 2]
    assert (calls["unet"], calls["control"]) == (4, 1)
    whole = DiffusersBackend(replace(settings, guidance_end=1.0)).render(requests()[:2])
    assert any((a != b).any() for a, b in zip(pictures, whole, strict=True))
    backend, calls, rows = watched(replace(settings, guidance=1.0))
    backend.render(requests()[:2])
    assert rows == [2] * 4
    assert calls["text"] == 2


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
def test_compiled_networks_are_given_full_batches_and_paint_the_same(models: dict[int, Path]) -> None:
    plain = DiffusionSettings(str(models[9]), steps=2, batch=3)
    expected = DiffusersBackend(plain).render(requests())
    # Compiling for a CPU takes longer than these pictures: the same code runs, not compiled.
    with torch.compiler.set_stance("force_eager"):
        backend, _, rows = watched(replace(plain, compile=True))
        found = backend.render(requests())
    assert rows == [6] * 8
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(expected, found, strict=True))


def test_half_precision_paints_nearly_the_same(models: dict[int, Path]) -> None:
    settings = DiffusionSettings(str(models[4]), steps=2)
    exact, rough = painter(settings).shares(jobs()), painter(replace(settings, dtype="bfloat16")).shares(jobs())
    assert 0 < (exact - rough).abs().max() < 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheduler": "slow"}, "scheduler = 'slow': use one of model, ddim"),
        ({"dtype": "int8"}, "dtype = 'int8': use one of float32"),
        ({"control_end": "1.5"}, "control_end = 1.5"),
        ({"guidance_end": "-1"}, "guidance_end = -1.0"),
        ({"batch": "0"}, "batch = 0: it must be 1 or more"),
        ({"compile": "maybe"}, "compile = 'maybe': use yes or no"),
        ({"colour": "red"}, r"unknown are \['colour'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        DiffusionSettings.from_options({"model": "folder", **options})


def test_settings_are_read_from_text() -> None:
    text = {
        "model": "folder",
        "steps": "8",
        "guidance": "1.5",
        "dtype": "float16",
        "compile": "yes",
        "scheduler": "lcm",
    }
    expected = DiffusionSettings("folder", steps=8, guidance=1.5, dtype="float16", compile=True, scheduler="lcm")
    assert DiffusionSettings.from_options(text) == expected
