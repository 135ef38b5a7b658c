"""How often the generation job runs each network of a real, tiny model, and whether a batch gives what singles give."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from beam_pipelines.generate.job import run_job
from beam_pipelines.generate.manifest import read_manifest
from benchmarks.report import Row, at_most, exactly
from contracts import ORIGINAL_ARM, Placement
from generation import RembgSegmenter, diffusion_pipeline, place
from generation.arrays import Floats, Pixels
from generation.diffusion_painter import Job, Painter, Stand
from generation.diffusion_pipeline import Models, load_models
from generation.diffusion_settings import SCHEDULERS, DiffusionSettings
from stores import open_objects
from tests.beam_pipelines.generate.shop import open_shop, row
from tests.generation.diffusion_rig import MODELS
from tests.generation.studio import PROMPTS, cutout
from tests.generation.tiny_model import save_tiny_pipeline

_STEPS = 3
_SIZE = (64, 48)
_CLOSE = 1e-4


def rows() -> Iterator[Row]:
    """The counts of a job of three products, then the differences."""
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()
    with TemporaryDirectory() as name:
        folders = {model: Path(name) / model for model in MODELS}
        for model, (kind, channels) in MODELS.items():
            folders[model].mkdir()
            save_tiny_pipeline(folders[model], channels, kind)
        yield from _counts(Path(name), folders["sd-9"])
        worst = max(_difference(str(folder), scheduler) for folder in folders.values() for scheduler in SCHEDULERS)
    note = f"largest of {len(SCHEDULERS)} schedulers, SD 1.5 and SDXL, UNets of 4 and 9 channels, values from 0 to 1"
    yield at_most("batch against single pictures, float32", worst, "", _CLOSE, note=note)


def _counts(folder: Path, model: Path) -> Iterator[Row]:
    options = {"model": str(model), "steps": str(_STEPS), "side": "64"}
    products = [row("stool"), row("chair"), row("pot", "garden")]
    config = open_shop(folder / "shop", products, backend="diffusers", backend_options=options, attempts=1)
    calls: Counter[str] = Counter()
    cut = RembgSegmenter.mask

    def count(name: str, module: Any, given: tuple[Any, ...]) -> None:
        calls[name] += len(given[0]) if given else 1

    def load(settings: DiffusionSettings) -> Models:
        found = load_models(settings)
        pipeline = found.pipeline
        networks = {"text": pipeline.text_encoder, "encode": pipeline.vae.encoder, "unet": pipeline.unet}
        for name, network in networks.items():
            network.register_forward_pre_hook(lambda module, given, name=name: count(name, module, given))
        return found

    def mask(self: RembgSegmenter, rgb: Pixels) -> Floats:
        calls["cut-out"] += 1
        return cut(self, rgb)

    with patch.object(diffusion_pipeline, "load_models", load), patch.object(RembgSegmenter, "mask", mask):
        run_job(config, lambda _: None)
    made = [each for each in read_manifest(open_objects(config.objects_uri)).values() if each.arm != ORIGINAL_ARM]
    texts = {each.text for each in made} | {each.negative for each in made}
    placed = {(each.item_id, each.placement) for each in made}
    note = f"the job on {len(products)} products, {len(made)} pictures, {_STEPS} steps with guidance"
    yield exactly("text encodes / distinct text", calls["text"] / len(texts), "", 1, note=note)
    yield exactly("VAE encodes / placed product", calls["encode"] / len(placed), "", 1)
    # Both halves of guidance are rows of one call.
    yield exactly("UNet evaluations a picture / steps", calls["unet"] / 2 / len(made) / _STEPS, "", 1)
    yield exactly("cut-outs / product photo", calls["cut-out"] / len(products), "", 1)


def _difference(model: str, scheduler: str) -> float:
    settings = replace(DiffusionSettings(model), steps=_STEPS, scheduler=scheduler)
    stands = [Stand(str(i), _SIZE, place(each, Placement("slot", *_SIZE))) for i, each in enumerate(_products())]
    wanted = [(stand, prompt) for stand in stands for prompt in PROMPTS]
    jobs = [Job(prompt.text, prompt.negative, seed, stand) for seed, (stand, prompt) in enumerate(wanted)]
    painter = Painter(load_models(settings), settings)
    alone = torch.cat([painter.shares([job]) for job in jobs])
    return float((painter.shares(jobs) - alone).abs().max())


def _products() -> tuple[Any, ...]:
    return cutout(), cutout(colour=(30, 90, 160))
