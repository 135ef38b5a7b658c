"""The diffusers backend: Stable Diffusion with ControlNet paints round the product (arXiv 2408.12392, section 3)."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contracts import SettingsError, SetupError
from generation.arrays import Pixels
from generation.backend import RenderRequest
from generation.control import edge_map, paint_mask
from generation.layout import Placed

_MULTIPLE = 8
_BLANK = 127
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "controlnet")
_WHOLE_NUMBERS = frozenset({"steps", "side", "into", "batch"})
_NUMBERS = frozenset({"guidance", "control"})
_TEXTS = frozenset({"model", "device"})


@dataclass(frozen=True, slots=True)
class DiffusionSettings:
    """How to paint; ``model`` is a folder as ``StableDiffusionControlNetInpaintPipeline.save_pretrained`` writes it.

    ``side`` is the larger side in pixels at which the model paints (the picture is then enlarged to the slot and
    the product pasted back at full size); ``into`` how far it paints under the product; ``control`` the weight of
    the edges; ``batch`` how many pictures of one size are painted at once.
    """

    model: str
    steps: int = 20
    guidance: float = 7.5
    control: float = 0.6
    side: int = 512
    into: int = 4
    batch: int = 4
    device: str = "cpu"

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> "DiffusionSettings":
        """Read settings from text.

        Raises:
            SettingsError: if ``model`` is missing, a name is unknown or a value no number.
        """
        unknown = sorted(options.keys() - _TEXTS - _NUMBERS - _WHOLE_NUMBERS)
        if unknown or not options.get("model"):
            known = sorted(_TEXTS | _NUMBERS | _WHOLE_NUMBERS)
            message = f"backend 'diffusers' needs the option model=FOLDER and knows {known}; unknown are {unknown}"
            raise SettingsError(message)
        values: dict[str, Any] = {}
        for name, text in options.items():
            try:
                values[name] = int(text) if name in _WHOLE_NUMBERS else float(text) if name in _NUMBERS else text
            except ValueError as error:
                message = f"backend 'diffusers': {name} = {text!r} is no number"
                raise SettingsError(message) from error
        return cls(**values)


class DiffusersBackend:
    """Paints with a local model; the model is loaded when the first picture is asked for.

    A picture does not depend on its batch: every request has its own generator, and the product's latents are the
    mode of their posterior instead of a draw from it. One lock guards the pipeline, which is not thread-safe.
    """

    def __init__(self, settings: DiffusionSettings) -> None:
        """Check that the model's folder is complete.

        Raises:
            SetupError: naming what is missing.
        """
        folder = Path(settings.model)
        missing = [part for part in _PARTS if not (folder / part).is_dir()]
        if missing or not (folder / "model_index.json").is_file():
            message = (
                f"{folder} is no StableDiffusionControlNetInpaintPipeline (missing: {missing or 'model_index.json'}): "
                "save one there with save_pretrained"
            )
            raise SetupError(message)
        self._settings = settings
        self._digest = _model_digest(folder)
        self._pipeline: Any = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return "diffusers"

    @property
    def recipe(self) -> str:
        """Version, model digest and settings (batch and device do not change pictures)."""
        shown = {k: v for k, v in asdict(self._settings).items() if k not in {"model", "batch", "device"}}
        return f"diffusers/1({self._digest};{';'.join(f'{k}={v}' for k, v in sorted(shown.items()))})"

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        """Backgrounds u8[h, w, 3], in order; requests of one size are painted together."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, request in enumerate(requests):
            height, width = request.placed.alpha.shape
            by_size.setdefault(work_size(width, height, self._settings.side), []).append(index)
        done: dict[int, Pixels] = {}
        for size, indices in by_size.items():
            for start in range(0, len(indices), self._settings.batch):
                part = indices[start : start + self._settings.batch]
                pictures = self._paint([requests[i] for i in part], size)
                done.update(zip(part, pictures, strict=True))
        return [done[i] for i in range(len(requests))]

    def _paint(self, requests: Sequence[RenderRequest], size: tuple[int, int]) -> Iterator[Pixels]:
        import torch

        settings = self._settings
        placed = [_at_size(request.placed, size) for request in requests]
        with self._lock:
            if self._pipeline is None:
                self._pipeline = _load(settings)
            result = self._pipeline(
                prompt=[request.prompt.text for request in requests],
                negative_prompt=[request.prompt.negative for request in requests],
                image=[Image.fromarray(_on_grey(p)) for p in placed],
                mask_image=[Image.fromarray((paint_mask(p, settings.into) * 255).astype(np.uint8)) for p in placed],
                control_image=[Image.fromarray(_three((edge_map(p) * 255).astype(np.uint8))) for p in placed],
                width=size[0],
                height=size[1],
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                controlnet_conditioning_scale=settings.control,
                generator=[torch.Generator("cpu").manual_seed(request.seed) for request in requests],
                output_type="np",
            )
        for request, picture in zip(requests, result.images, strict=True):
            height, width = request.placed.alpha.shape
            small = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
            yield np.array(small.resize((width, height), Image.Resampling.LANCZOS))


def work_size(width: int, height: int, side: int) -> tuple[int, int]:
    """The size (width, height) at which the model paints a slot: larger side about ``side``, multiples of 8."""
    scale = min(1.0, side / max(width, height))
    fitted = (max(_MULTIPLE, round(length * scale / _MULTIPLE) * _MULTIPLE) for length in (width, height))
    across, down = fitted
    return across, down


def _load(settings: DiffusionSettings) -> Any:
    from generation.diffusion_pipeline import load_pipeline

    return load_pipeline(Path(settings.model), settings.device)


def _model_digest(folder: Path) -> str:
    """Short digest of a model's files: names, sizes, and the contents of all but the weights."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}:{path.stat().st_size}".encode())
        with path.open("rb") as file:
            # The first MiB of a weights file holds its table of tensors and enough of them to tell models apart.
            digest.update(file.read(1 << 20))
    return digest.hexdigest()[:12]


def _at_size(placed: Placed, size: tuple[int, int]) -> Placed:
    rgb = np.array(Image.fromarray(placed.rgb).resize(size, Image.Resampling.BOX))
    return Placed(rgb, np.array(Image.fromarray(placed.alpha).resize(size, Image.Resampling.BOX)))


def _on_grey(placed: Placed) -> Pixels:
    alpha = placed.alpha[..., None]
    return (placed.rgb * alpha + _BLANK * (1 - alpha) + 0.5).astype(np.uint8)


def _three(plane: Pixels) -> Pixels:
    return np.repeat(plane[..., None], 3, axis=2)
