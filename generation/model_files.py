"""Whether a model is whole, seen from its files alone: in milliseconds, before any work."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts import SetupError
from generation.model_kind import DIFFUSERS_WEIGHTS, ModelKind
from generation.model_listing import (
    CONFIG,
    CONTROLNET,
    Listing,
    network_names,
    pipeline_kind,
    pipeline_names,
    read_json,
)

_MAX_HEADER = 100_000_000
# What a ControlNet must have in common with the UNet that it steers.
_SHARED = ("cross_attention_dim", "block_out_channels", "addition_embed_type", "projection_class_embeddings_input_dim")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is whole: kind, folder, its ControlNet's folder, and the used files by their names in a pipeline."""

    kind: ModelKind
    folder: Path
    controlnet: Path
    files: Mapping[str, Path]

    @property
    def digest(self) -> str:
        """Short digest of the files: names, sizes, and the contents of all but the weights."""
        digest = hashlib.sha256()
        for name, path in self.files.items():
            digest.update(f"{name}:{path.stat().st_size}".encode())
            with path.open("rb") as file:
                # The first MiB of a weights file holds its table of tensors and enough of them to tell models apart.
                digest.update(file.read(1 << 20))
        return digest.hexdigest()[:12]


def model_files(folder: Path, controlnet: Path | None = None) -> ModelFiles:
    """Check that a pipeline's files are there, and weights as long as they say; ``controlnet`` replaces its own.

    Raises:
        SetupError: naming what is missing, cut off, not to be read, or does not fit together.
    """
    listing, own = Listing.of_folder(folder), controlnet is None
    kind = pipeline_kind(listing, own_controlnet=own)
    read_json(folder / "scheduler" / "scheduler_config.json")
    networks = {part: folder / part for part in kind.networks}
    if controlnet is not None:
        networks[CONTROLNET] = controlnet
    configs = {part: read_json(path / CONFIG) for part, path in networks.items()}
    files = {name: folder / name for name in pipeline_names(listing, kind, own_controlnet=own)}
    if controlnet is not None:
        files |= {f"{CONTROLNET}/{name}": controlnet / name for name in network_names(Listing.of_folder(controlnet))}
    for part, path in networks.items():
        _check_weights(path, kind.networks[part])
    _check_fit(networks[CONTROLNET], configs[CONTROLNET], configs["unet"])
    return ModelFiles(kind, folder, networks[CONTROLNET], files)


def check_controlnet(folder: Path) -> None:
    """Check that the files of a ControlNet of its own are there, and weights as long as they say.

    Raises:
        SetupError: naming what is missing, cut off or not to be read.
    """
    read_json(folder / CONFIG)
    network_names(Listing.of_folder(folder))
    _check_weights(folder, DIFFUSERS_WEIGHTS)


def _check_fit(folder: Path, config: Mapping[str, object], unet: Mapping[str, object]) -> None:
    named = config.get("_class_name", "ControlNetModel")
    if named != "ControlNetModel":
        message = f"{folder} holds a {named}: use a ControlNetModel"
        raise SetupError(message)
    for name in _SHARED:
        if name in config and name in unet and config[name] != unet[name]:
            message = (
                f"the ControlNet in {folder} does not fit the model: its {name} is {config[name]!r}, the UNet's "
                f"{unet[name]!r}: use one made for this family of models"
            )
            raise SetupError(message)


def _check_weights(folder: Path, stem: str) -> None:
    """Check the files that hold a network's weights: one, or those that an index names."""
    index = folder / f"{stem}.safetensors.index.json"
    paths = [folder / f"{stem}.safetensors"]
    if index.is_file():
        named = read_json(index).get("weight_map")
        if not isinstance(named, dict) or not named:
            message = f"{index} names no weights: copy the model's folder anew"
            raise SetupError(message)
        paths = [folder / str(name) for name in sorted(set(named.values()))]
    for path in paths:
        _check_safetensors(path)


def _check_safetensors(path: Path) -> None:
    """A safetensors file begins with its header's length and header, which tells where the last tensor ends."""
    try:
        size = path.stat().st_size
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
