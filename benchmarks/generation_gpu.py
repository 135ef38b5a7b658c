"""Pictures a second of the diffusers backend on a GPU against a plain loop over the library's pipeline."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import log10
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from benchmarks.report import Row, at_least
from benchmarks.sd_model import SD15, Shape, save_random_model
from contracts import Placement, Prompt, SetupError
from generation import RenderRequest, place
from generation.arrays import Pixels
from generation.control import canvas
from generation.diffusion import DiffusersBackend
from generation.diffusion_pipeline import load_models
from generation.diffusion_settings import DiffusionSettings
from tests.generation.studio import cutout

PACKAGES = ("torch", "triton", "diffusers", "transformers", "numpy")
_SCENES = (
    "on oak in a garden", "on slate in a kitchen", "on marble in soft morning light", "on sand at a beach",
    "on linen by a loft window", "on concrete, city at night", "on walnut before a shelf", "on grass under a sunset",
)  # fmt: skip
_NEGATIVE = "text and logos"


@dataclass(frozen=True, slots=True)
class Bench:
    """One job: ``products`` products a round with every prompt; the plain loop paints the first ``plain`` pictures."""

    shape: Shape = SD15
    device: str = "cuda"
    dtype: str = "float16"
    side: int = 512
    products: int = 4
    plain: int = 8
    rounds: int = 3
    steps: int = 20
    batch: int = 16
    compile: bool = True


# How each way is named, what it changes, and its target against the plain loop (0: none).
WAYS: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("identical settings", {}, 2),
    ("identical settings, not compiled", {"compile": False}, 0),
    ("approximate: guidance and ControlNet for half of the steps", {"guidance_end": 0.5, "control_end": 0.5}, 4),
    ("few-step: LCM, 4 steps, no guidance", {"scheduler": "lcm", "steps": 4, "guidance": 1.0}, 6),
)


def rows() -> Iterator[Row]:
    """The figures.

    Raises:
        SetupError: without a CUDA device.
    """
    if not torch.cuda.is_available():
        message = "generation_gpu needs a CUDA GPU with 24 GB or more, and torch sees none: its kept figures stay"
        raise SetupError(message)
    yield from measured(Bench())


def measured(bench: Bench) -> Iterator[Row]:
    """The figures of a job."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_random_model(folder, bench.shape, bench.device, getattr(torch, bench.dtype))
        settings = DiffusionSettings(
            str(folder), steps=bench.steps, side=bench.side, batch=bench.batch, device=bench.device, dtype=bench.dtype,
            compile=bench.compile,
        )  # fmt: skip
        load = cache(lambda compiled: load_models(replace(settings, compile=compiled)))
        ways = {way: replace(settings, **changed) for way, changed, _ in WAYS}
        backends = {way: DiffusersBackend(s, lambda s: load(s.compile)) for way, s in ways.items()}
        plain = plain_loop(settings)
        first = requests(bench, 0)
        warm, _ = timed(lambda: [picture for backend in backends.values() for picture in backend.render(first)])
        plain(first[:2])
        times: dict[str, list[float]] = {way: [] for way in ("plain", *ways)}
        pictures: dict[str, list[Pixels]] = {way: [] for way in ("plain", *ways)}
        for number in range(1, bench.rounds + 1):
            wanted = requests(bench, number)
            runs: dict[str, Callable[[Sequence[RenderRequest]], list[Pixels]]] = {"plain": plain}
            runs.update({way: backend.render for way, backend in backends.items()})
            for way, run in runs.items():
                asked = wanted[: bench.plain] if way == "plain" else wanted
                seconds, found = timed(partial(run, asked))
                times[way].append(seconds / len(asked))
                pictures[way] += found[: bench.plain]
    yield from _figures(bench, times, pictures, warm)


def _figures(
    bench: Bench, times: dict[str, list[float]], pictures: dict[str, list[Pixels]], warm: float
) -> Iterator[Row]:
    card = torch.cuda.get_device_name() if bench.device == "cuda" else bench.device
    usual = median(times["plain"])
    note = f"{card}, {bench.dtype}, {bench.side} px, {bench.steps} DDIM steps, guidance 7.5, one picture a call"
    yield Row("plain diffusers loop", usual * 1000, "ms/picture", note=note)
    for way, _, target in WAYS:
        taken = [f"{seconds * 1000:.0f}" for seconds in times[way]]
        yield Row(way, median(times[way]) * 1000, "ms/picture", note=f"rounds: {', '.join(taken)}")
        ratio = usual / median(times[way])
        yield (
            at_least("… against the plain loop", ratio, "x", target)
            if target
            else Row("… against the plain loop", ratio, "x")
        )
        if way.startswith("identical"):
            pairs = [psnr(a, b) for a, b in zip(pictures["plain"], pictures[way], strict=True)]
            yield at_least("… PSNR against the plain loop", min(pairs), "dB", 35, note=f"worst of {len(pairs)}")
    others = [psnr(a, b) for a, b in zip(pictures["plain"], pictures["plain"][1:], strict=False)]
    yield Row("PSNR between pictures of two prompts", max(others), "dB", note="best: what different pictures score")
    yield Row("loading, compiling and first pictures of all ways", warm, "s")
    if bench.device == "cuda":
        yield Row("memory at most", torch.cuda.max_memory_allocated() / 2**30, "GiB", note=f"batch {bench.batch}")


def requests(bench: Bench, number: int) -> list[RenderRequest]:
    """The requests of a round: products that no other round has, each with every prompt."""
    slot = Placement("square", bench.side, bench.side)
    side = bench.side // 2
    products = [cutout(side, side, (40 + 50 * i, 60 + 20 * number, 90)) for i in range(bench.products)]
    prompts = [Prompt(f"p{i}", "seating", text, _NEGATIVE, {}) for i, text in enumerate(_SCENES)]
    placed = [place(product, slot) for product in products]
    # One seed a product: its pictures differ by their prompts alone.
    return [RenderRequest(p, prompt, 100 * number + i) for i, p in enumerate(placed) for prompt in prompts]


def plain_loop(settings: DiffusionSettings) -> Callable[[Sequence[RenderRequest]], list[Pixels]]:
    """The library's pipeline as its manual shows it: half precision on the device, one call a picture."""
    loader: Any = diffusers.StableDiffusionControlNetInpaintPipeline
    pipeline = loader.from_pretrained(settings.model, dtype=getattr(torch, settings.dtype), safety_checker=None)
    pipeline.to(settings.device)
    pipeline.set_progress_bar_config(disable=True)

    def paint(wanted: Sequence[RenderRequest]) -> list[Pixels]:
        shown = {id(r.placed): canvas(r.placed, (settings.side, settings.side), settings.into) for r in wanted}
        pictures = []
        for request in wanted:
            seen = shown[id(request.placed)]
            found = pipeline(
                prompt=request.prompt.text,
                negative_prompt=request.prompt.negative,
                image=Image.fromarray(seen.image),
                mask_image=Image.fromarray(seen.mask),
                control_image=Image.fromarray(seen.edges).convert("RGB"),
                width=settings.side,
                height=settings.side,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                controlnet_conditioning_scale=settings.control,
                generator=torch.Generator("cpu").manual_seed(request.seed),
            )
            pictures.append(np.array(found.images[0]))
        return pictures

    return paint


def timed(run: Callable[[], list[Pixels]]) -> tuple[float, list[Pixels]]:
    """Seconds and result of a call; pictures end on the host, so the device has finished."""
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio of two pictures in dB; 99 if they are equal.

    Raises:
        ValueError: if the first is flat: any figure would then mean nothing.
    """
    if a.std() < 10:
        message = f"the picture is flat (standard deviation {a.std():.1f} of 255): the model's weights are unsuited"
        raise ValueError(message)
    error = float(np.square(a.astype(np.float64) - b).mean())
    return min(99.0, 10 * log10(255**2 / error)) if error else 99.0
