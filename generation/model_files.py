"""Whether a model's folder is whole, seen from its files alone: in milliseconds, before any work is planned."""

import json
import struct
from pathlib import Path

from contracts import SetupError

_DIFFUSERS, _TRANSFORMERS = "diffusion_pytorch_model", "model"
_WEIGHTS = {"unet": _DIFFUSERS, "vae": _DIFFUSERS, "controlnet": _DIFFUSERS, "text_encoder": _TRANSFORMERS}
_OLD = {_DIFFUSERS: "diffusion_pytorch_model.bin", _TRANSFORMERS: "pytorch_model.bin"}
_PARTS = (*_WEIGHTS, "tokenizer", "scheduler")
_MAX_HEADER = 100_000_000


def check_model_files(folder: Path) -> None:
    """Check that a StableDiffusionControlNetInpaintPipeline's files are there, and weights as long as they say.

    Raises:
        SetupError: naming what is missing or cut off.
    """
    missing = [part for part in _PARTS if not (folder / part).is_dir()]
    if missing or not (folder / "model_index.json").is_file():
        message = (
            f"{folder} is no StableDiffusionControlNetInpaintPipeline (missing: {missing or 'model_index.json'}): "
            "save one there with save_pretrained"
        )
        raise SetupError(message)
    for path in [*(folder / part / "config.json" for part in _WEIGHTS), folder / "scheduler" / "scheduler_config.json"]:
        _read_json(path)
    for part, stem in _WEIGHTS.items():
        for path in _weights(folder / part, stem):
            _check_weights(path)


def _weights(folder: Path, stem: str) -> list[Path]:
    """The files that hold a network's weights: one, or those that an index names."""
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        named = _read_json(index).get("weight_map")
        return [folder / name for name in sorted(set(named.values()))] if isinstance(named, dict) else []
    old = folder / _OLD[stem]
    return [old if old.is_file() else folder / f"{stem}.safetensors"]


def _check_weights(path: Path) -> None:
    """A safetensors file begins with its header's length and header, which tells where the last tensor ends."""
    try:
        size = path.stat().st_size
        if path.suffix != ".safetensors":
            return
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, _MAX_HEADER)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except FileNotFoundError as error:
        message = f"the model lacks {path}: copy its folder anew"
        raise SetupError(message) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        message = f"{path} cannot be read as safetensors ({error}): copy the model's folder anew"
        raise SetupError(message) from error
    if size != expected:
        message = f"{path} has {size} bytes, its header says {expected}: copy the model's folder anew"
        raise SetupError(message)


def _read_json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"the model's {path} cannot be read ({error}): copy its folder anew"
        raise SetupError(message) from error
    if not isinstance(found, dict):
        message = f"the model's {path} is not a JSON object: copy its folder anew"
        raise SetupError(message)
    return found
