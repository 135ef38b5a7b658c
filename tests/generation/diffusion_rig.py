"""Tiny models of both kinds, what is asked of them, and the library's own pipeline to compare with."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from PIL import Image

from contracts import Placement
from generation import RenderRequest, place
from generation.control import canvas
from generation.diffusion import DiffusersBackend
from generation.diffusion_painter import Job, Painter, Stand
from generation.diffusion_pipeline import Models, load_models
from generation.diffusion_settings import DiffusionSettings
from generation.model_files import model_files
from generation.model_kind import SD, SDXL
from tests.generation.studio import PROMPTS, cutout

SIZE = (64, 48)
PRODUCTS = (cutout(), cutout(colour=(30, 90, 160)))


# Each with a UNet of either sort: 4 channels (kept latents are pasted each step) and 9 (it is shown the mask).
MODELS = {"sd-4": (SD, 4), "sd-9": (SD, 9), "xl-4": (SDXL, 4), "xl-9": (SDXL, 9)}


def jobs() -> list[Job]:
    """Each product with each prompt."""
    stands = [Stand(str(i), SIZE, place(product, Placement("slot", *SIZE))) for i, product in enumerate(PRODUCTS)]
    wanted = [(stand, prompt) for stand in stands for prompt in PROMPTS]
    return [Job(prompt.text, prompt.negative, seed, stand) for seed, (stand, prompt) in enumerate(wanted)]


def painter(settings: DiffusionSettings) -> Painter:
    return Painter(load_models(settings), settings)


def by_the_library(settings: DiffusionSettings, scheduler: Any, wanted: Sequence[Job]) -> torch.Tensor:
    """The pictures as the library's pipeline paints them, one call each; ``scheduler`` None: with the model's own."""
    kind = model_files(Path(settings.model)).kind
    loader: Any = getattr(diffusers, kind.pipeline)
    pipeline = loader.from_pretrained(settings.model, dtype=getattr(torch, settings.dtype), **kind.without)
    encode = pipeline.vae.encode

    def steady(image: torch.Tensor) -> Any:
        found = encode(image)
        found.latent_dist.sample = lambda _: found.latent_dist.mode()
        return found

    pipeline.vae.encode = steady
    if scheduler is not None:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    pictures = []
    for job in wanted:
        shown = canvas(job.stand.placed, job.stand.size, settings.into)
        result = pipeline(
            prompt=job.text,
            negative_prompt=job.negative or None,
            image=Image.fromarray(shown.image),
            mask_image=Image.fromarray(shown.mask),
            control_image=Image.fromarray(shown.edges).convert("RGB"),
            width=job.stand.size[0],
            height=job.stand.size[1],
            strength=1.0,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            controlnet_conditioning_scale=settings.control,
            control_guidance_end=settings.control_end,
            generator=torch.Generator("cpu").manual_seed(job.seed),
            output_type="pt",
        )
        pictures.append(result.images[0])
    return torch.stack(pictures)


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
        if found.kind is SDXL:
            networks["text_2"] = pipeline.text_encoder_2
        for name, network in {**networks, "unet": pipeline.unet, "control": pipeline.controlnet}.items():
            network.register_forward_hook(partial(count, name))
        return found

    return DiffusersBackend(settings, load), calls, rows


def requests() -> list[RenderRequest]:
    """Two products in two slots with two prompts: 4 placed products, 2 texts and 2 negatives."""
    slots = (Placement("square", 64, 64), Placement("banner", 96, 48))
    placed = [place(product, slot) for product in PRODUCTS for slot in slots]
    return [RenderRequest(p, prompt, seed) for p in placed for seed, prompt in enumerate(PROMPTS)]
