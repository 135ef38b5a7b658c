"""Which of a model's files are used, told from their names: alike for a folder and for a hub's repository."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from contracts import SetupError
from generation.model_kind import DIFFUSERS_WEIGHTS, SD, ModelKind, kind_of

INDEX, CONFIG = "model_index.json", "config.json"
CONTROLNET = "controlnet"
_PICKLED = (".bin", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Listing:
    """A model's files: ``where`` they are, their names, and how to come by a small one of them."""

    where: str
    names: frozenset[str]
    read: Callable[[str], Path]

    @classmethod
    def of_folder(cls, folder: Path) -> "Listing":
        """The files of a folder and of those in it."""
        paths = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file()]
        return cls(str(folder), frozenset(path.relative_to(folder).as_posix() for path in paths), folder.joinpath)


def pipeline_kind(listing: Listing, *, own_controlnet: bool) -> ModelKind:
    """The kind of a pipeline that has all its parts; its ControlNet may come from elsewhere.

    Raises:
        SetupError: naming what is missing or cannot be used.
    """
    whole = INDEX in listing.names
    kind = kind_of(read_json(listing.read(INDEX)), f"{listing.where}: {INDEX}") if whole else SD
    missing = [part for part in kind.parts if not any(name.startswith(f"{part}/") for name in listing.names)]
    if not own_controlnet:
        missing = [part for part in missing if part != CONTROLNET]
    if missing or not whole:
        advice = "save one there with save_pretrained"
        if missing == [CONTROLNET]:
            advice = "name one by the option controlnet=FOLDER or controlnet=OWNER/NAME"
        message = f"{listing.where} is no {kind.pipeline} (missing: {missing or INDEX}): {advice}"
        raise SetupError(message)
    return kind


def pipeline_names(listing: Listing, kind: ModelKind, *, own_controlnet: bool) -> tuple[str, ...]:
    """The names of the files that a pipeline is loaded from.

    Raises:
        SetupError: if a network has no weights that are safetensors.
    """
    used = {INDEX, "scheduler/scheduler_config.json"}
    for part, stem in kind.networks.items():
        if own_controlnet or part != CONTROLNET:
            used.update(network_names(listing, f"{part}/", stem))
    words = re.compile("|".join(rf"{tokenizer}/[^/]+\.(json|txt)" for tokenizer, _ in kind.tokenizers))
    used.update(name for name in listing.names if words.fullmatch(name))
    return tuple(sorted(used, key=PurePosixPath))


def network_names(listing: Listing, part: str = "", stem: str = DIFFUSERS_WEIGHTS) -> tuple[str, ...]:
    """The names of the files that a network in the folder ``part`` (with its slash) is loaded from.

    Raises:
        SetupError: if it has no weights that are safetensors.
    """
    weights = re.compile(rf"{part}{stem}(-\d+-of-\d+)?\.safetensors(\.index\.json)?")
    used = sorted(name for name in listing.names if weights.fullmatch(name))
    if not used:
        beside = [PurePosixPath(name) for name in listing.names if PurePosixPath(name).parent == PurePosixPath(part)]
        pickled = sorted(path.name for path in beside if path.suffix in _PICKLED)
        message = f"the model lacks {listing.where}/{part}{stem}.safetensors: copy its folder anew"
        if pickled:
            message = (
                f"{listing.where}/{part} holds its weights only as {', '.join(pickled)}: files that can run code are "
                "not read, save the model anew as safetensors"
            )
        raise SetupError(message)
    return (f"{part}{CONFIG}", *used)


def read_json(path: Path) -> dict[str, object]:
    """A JSON object of the model.

    Raises:
        SetupError: if the file is missing or holds none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"the model's {path} cannot be read ({error}): copy its folder anew"
        raise SetupError(message) from error
    if not isinstance(found, dict):
        message = f"the model's {path} is not a JSON object: copy its folder anew"
        raise SetupError(message)
    return found
