"""The diffusers backend: Stable Diffusion with ControlNet paints round the product (arXiv 2408.12392, section 3)."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from contracts import Prompt
from generation.arrays import Floats, Pixels
from generation.backend import RenderRequest
from generation.diffusion_settings import DiffusionSettings
from generation.layout import Placed
from generation.model_source import find_model
from generation.token_budget import TokenBudget

if TYPE_CHECKING:
    from generation.diffusion_painter import Painter, Stand
    from generation.diffusion_pipeline import Models

_MULTIPLE = 8
# What changes a picture by less than its rounding, or says where it is made.
_NOT_THE_PICTURE = frozenset({"model", "controlnet", "download", "batch", "device", "compile"})


class DiffusersBackend:
    """Paints with a local model; the model is loaded when the first picture is asked for.

    One lock guards the model, which is not thread-safe.
    """

    def __init__(
        self, settings: DiffusionSettings, load: "Callable[[DiffusionSettings], Models] | None" = None
    ) -> None:
        """Find the model and check that it is complete; ``load`` lets backends share one loaded model.

        Raises:
            SetupError: naming what is missing or cut off.
        """
        model = find_model(settings)
        self._settings = replace(model.settings, side=settings.side or model.files.kind.side)
        self._load = load
        self._digest, self._pins = model.files.digest, model.pins
        self._budget = TokenBudget(model.files.folder)
        self._painter: Painter | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return "diffusers"

    @property
    def recipe(self) -> str:
        """Version, model digest, the commits of hubs' models, and the settings that change pictures."""
        shown = {k: v for k, v in asdict(self._settings).items() if k not in _NOT_THE_PICTURE} | dict(self._pins)
        return f"diffusers/3({self._digest};{';'.join(f'{k}={v}' for k, v in sorted(shown.items()))})"

    def check(self, prompt: Prompt) -> None:
        """Refuse a prompt of more tokens than the model's text encoder takes; the model is not loaded for it.

        Raises:
            PromptError: ``prompt_too_long``, saying its length and the limit.
            SetupError: if the model's tokenizer cannot be read.
        """
        # Without guidance the negative is not encoded.
        self._budget.check(prompt, negative=self._settings.guidance > 1)

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        """Backgrounds u8[h, w, 3], in order; requests of one size are painted together.

        Raises:
            PromptError: if a prompt is too long to be painted whole.
        """
        if not requests:
            return []
        with self._lock:
            for request in requests:
                self.check(request.prompt)
            if self._painter is None:
                self._painter = _open_painter(self._settings, self._load)
            return self._rendered(requests, self._painter)

    def _rendered(self, requests: Sequence[RenderRequest], painter: "Painter") -> list[Pixels]:
        from generation.diffusion_painter import Job

        stands = self._stands(requests)
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, request in enumerate(requests):
            by_size.setdefault(stands[id(request.placed)].size, []).append(index)
        done: dict[int, Pixels] = {}
        for indices in by_size.values():
            for start in range(0, len(indices), self._settings.batch):
                part = indices[start : start + self._settings.batch]
                wanted = [requests[i] for i in part]
                jobs = [Job(r.prompt.text, r.prompt.negative, r.seed, stands[id(r.placed)]) for r in wanted]
                for index, picture in zip(part, painter.shares(jobs).cpu().numpy(), strict=True):
                    done[index] = _to_slot(picture, requests[index].placed)
        return [done[i] for i in range(len(requests))]

    def _stands(self, requests: Sequence[RenderRequest]) -> "dict[int, Stand]":
        """By the object, so that a product's pixels are hashed once, not once a prompt."""
        from generation.diffusion_painter import Stand

        stands: dict[int, Stand] = {}
        for placed in (request.placed for request in requests):
            if id(placed) not in stands:
                height, width = placed.alpha.shape
                digest = hashlib.sha256(placed.rgb.tobytes() + placed.alpha.tobytes()).hexdigest()
                stands[id(placed)] = Stand(digest, work_size(width, height, self._settings.side), placed)
        return stands


def work_size(width: int, height: int, side: int) -> tuple[int, int]:
    """The size (width, height) at which the model paints a slot: larger side about ``side``, multiples of 8."""
    scale = min(1.0, side / max(width, height))
    fitted = (max(_MULTIPLE, round(length * scale / _MULTIPLE) * _MULTIPLE) for length in (width, height))
    across, down = fitted
    return across, down


def _open_painter(settings: DiffusionSettings, load: "Callable[[DiffusionSettings], Models] | None") -> "Painter":
    from generation.diffusion_painter import Painter
    from generation.diffusion_pipeline import load_models

    return Painter((load or load_models)(settings), settings)


def _to_slot(picture: Floats, placed: Placed) -> Pixels:
    """A picture f32[3, h, w] at its slot's size. It is rounded once, at the end: enlarging would add up roundings."""
    height, width = placed.alpha.shape
    resized = (Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS) for plane in picture)
    return (np.stack([np.asarray(plane) for plane in resized], axis=-1) * 255 + 0.5).clip(0, 255).astype(np.uint8)
