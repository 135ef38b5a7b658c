"""Segmenters by name: rembg's network classes with weights from a file whose checksum is verified."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from contracts import InvalidInputError, SetupError
from generation.arrays import Floats, Pixels, shares

DEFAULT_SEGMENTER = "u2netp"
# Checksums of the files that rembg's own project publishes under these names, None where it gives none.
SEGMENTERS: Mapping[str, str | None] = MappingProxyType(
    {
        "u2netp": "md5:8e83ca70e441ab06c318d82300c84806",
        "u2net": "md5:60024c5c889badc19c04ad937298a77b",
        "silueta": "md5:55e59e0d8062d2f5d013f4725ee84782",
        "isnet-general-use": "md5:fc16ebd8b0c10d971d3513d564d01e29",
        "birefnet-general": "md5:7a35a0141cbbc80de11d9c9a28f52697",
        "birefnet-general-lite": "md5:4fab47adc4ff364be1713e97b7e66334",
        "birefnet-general-fp16": None,
        "bria-rmbg": "sha256:5b486f08200f513f460da46dd701db5fbb47d79b4be4b708a19444bcd4e79958",
    }
)
NON_COMMERCIAL = frozenset({"bria-rmbg"})
_DIGEST = re.compile(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SegmenterModel:
    """A network by rembg's ``name`` for its class, and the ``digest`` ("md5:…" or "sha256:…") of its weights' file."""

    name: str
    digest: str

    @property
    def recipe(self) -> str:
        """What a creative's recipe says of it."""
        return f"{self.name}@{self.digest.partition(':')[2][:12]}"


def segmenter_model(
    name: str = DEFAULT_SEGMENTER, checksum: str = "", *, allow_non_commercial: bool = False
) -> SegmenterModel:
    """The network of a name, with the known checksum of its weights or the one given.

    Raises:
        InvalidInputError: if the name or checksum is unusable, or its licence was not agreed to.
    """
    if name not in SEGMENTERS:
        message = f"segmenter {name!r} is unknown: use one of {', '.join(SEGMENTERS)}"
        raise InvalidInputError(message)
    if name in NON_COMMERCIAL and not allow_non_commercial:
        message = (
            f"the weights of segmenter {name!r} are licensed for non-commercial use only: "
            "set generate.allow_non_commercial if yours is, or if you have a licence"
        )
        raise InvalidInputError(message)
    digest = checksum.strip().lower() or SEGMENTERS[name]
    if digest is None:
        message = f"no checksum of {name!r} is known: set generate.segmenter_checksum to sha256:… of your file"
        raise InvalidInputError(message)
    if not _DIGEST.fullmatch(digest):
        message = f"checksum {checksum!r} is neither md5:<32 hex digits> nor sha256:<64 hex digits>"
        raise InvalidInputError(message)
    return SegmenterModel(name, digest)


U2NETP = segmenter_model()


class RembgSegmenter:
    """A network class of rembg with weights in a file on this machine; never downloads."""

    def __init__(self, weights: Path, threads: int = 1, model: SegmenterModel = U2NETP) -> None:
        """Load the network.

        Raises:
            SetupError: if the weights are missing, are not the file they should be, or do not load.
        """
        check_weights(weights, model)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        try:
            self._session = _session_class(model.name, weights)(
                model.name, options, providers=["CPUExecutionProvider"]
            )  # fmt: skip
        except Exception as error:
            message = f"{weights} does not load as {model.name}: {error}"
            raise SetupError(message) from error

    def mask(self, rgb: Pixels) -> Floats:
        """A coarse mask f32[h, w], 0 to 1."""
        predicted = self._session.predict(Image.fromarray(rgb))[0]
        return shares(predicted)


def check_weights(weights: Path, model: SegmenterModel = U2NETP) -> None:
    """See that ``weights`` is the file it should be.

    Raises:
        SetupError: if it is missing, damaged or another model.
    """
    remedy = "run 'make setup'" if model == U2NETP else "set generate.segmenter_weights to its file"
    if not weights.is_file():
        message = f"segmentation weights {weights} of {model.name} are missing: {remedy}"
        raise SetupError(message)
    kind = model.digest.partition(":")[0]
    with weights.open("rb") as file:
        found = f"{kind}:{hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()}"
    if found != model.digest:
        message = f"{weights} ({found}) is not {model.name} ({model.digest}): delete it and {remedy}"
        raise SetupError(message)


def _session_class(name: str, weights: Path) -> Any:
    from rembg.sessions import sessions_class

    found = next(each for each in sessions_class if each.name() == name)
    # rembg asks this method where the weights are, and fetches them in it: with another answer nothing is fetched.
    return type(found.__name__, (found,), {"download_models": classmethod(lambda *_, **__: str(weights))})
