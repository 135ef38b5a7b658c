"""What a model is made of and whether it is whole, seen from its files alone: in milliseconds, before any work."""

import hashlib
import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from contracts import SetupError
from generation.model_kind import SD, ModelKind, kind_of

INDEX = "model_index.json"
_MAX_HEADER = 100_000_000
_PICKLED = (".bin", ".ckpt", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is whole: its kind and folder, and the names in it of the files that are used."""

    kind: ModelKind
    folder: Path
    names: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Short digest of the files: names, sizes, and the contents of all but the weights."""
        digest = hashlib.sha256()
        for path in sorted(self.folder / name for name in self.names):
            digest.update(f"{path.relative_to(self.folder).as_posix()}:{path.stat().st_size}".encode())
            with path.open("rb") as file:
                # The first MiB of a weights file holds its table of tensors and enough of them to tell models apart.
                digest.update(file.read(1 << 20))
        return digest.hexdigest()[:12]


def model_files(folder: Path) -> ModelFiles:
    """Check that a pipeline's files are there, and weights as long as they say.

    Raises:
        SetupError: naming what is missing, cut off or not to be read.
    """
    kind = kind_of(read_json(folder / INDEX), folder / INDEX) if (folder / INDEX).is_file() else SD
    missing = [part for part in kind.parts if not (folder / part).is_dir()]
    if missing or not (folder / INDEX).is_file():
        message = f"{folder} is no {kind.pipeline} (missing: {missing or INDEX}): save one there with save_pretrained"
        raise SetupError(message)
    names = used_names(kind, (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
    for path in [
        *(folder / part / "config.json" for part in kind.networks),
        folder / "scheduler/scheduler_config.json",
    ]:
        read_json(path)
    for part, stem in kind.networks.items():
        check_weights(folder / part, stem)
    return ModelFiles(kind, folder, names)


def used_names(kind: ModelKind, names: Iterable[str]) -> tuple[str, ...]:
    """Of a folder's file names those that the kind's pipeline is loaded from; weights are safetensors only."""
    wanted = [re.escape(INDEX), r"scheduler/scheduler_config\.json"]
    wanted += [network_names(part + "/", stem) for part, stem in kind.networks.items()]
    wanted += [rf"{tokenizer}/[^/]+\.(json|txt)" for tokenizer, _ in kind.tokenizers]
    pattern = re.compile("|".join(wanted))
    return tuple(sorted(name for name in names if pattern.fullmatch(name)))


def network_names(folder: str, stem: str) -> str:
    """A pattern of the file names that a network in ``folder`` (with its slash) is loaded from."""
    return rf"{folder}(config\.json|{stem}(-\d+-of-\d+)?\.safetensors|{stem}\.safetensors\.index\.json)"


def check_weights(folder: Path, stem: str) -> None:
    """Check the files that hold a network's weights: one, or those that an index names.

    Raises:
        SetupError: naming the file that is missing, cut off or cannot be read.
    """
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        named = read_json(index).get("weight_map")
        if not isinstance(named, dict) or not named:
            message = f"{index} names no weights: copy the model's folder anew"
            raise SetupError(message)
        paths = [folder / Path(str(name)).name for name in sorted(set(named.values()))]
    else:
        paths = [folder / f"{stem}.safetensors"]
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        if pickled and not paths[0].is_file():
            message = (
                f"{folder} holds its weights only as {', '.join(pickled)}: files that can run code are not read, "
                "save the model anew as safetensors"
            )
            raise SetupError(message)
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
