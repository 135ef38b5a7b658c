"""The context schema: from feature values to the fixed-point context that is scored.

One vectorised function serves requests, replay and training alike. Contexts are int16, x = q / 1024 (design, idea 2).
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.context_fields import ContextField, check_field, field_from_plain, field_to_plain
from contracts.encoder import (
    ENCODER_VERSION,
    Coder,
    Layout,
    coder,
    encode,
    entry_names,
    lay_out,
    references,
    text_features,
)
from contracts.errors import InvalidInputError

CONTEXT_FORMAT = 1
MAX_D = 64


@dataclass(frozen=True, slots=True)
class ContextSchema:
    """What a context is made of: d entries from f features, in the order of ``fields``.

    ``features`` are the f references ("view:feature") in order of first use, ``names`` label the d entries,
    ``hash`` (16 hex digits) covers everything that changes a context, the encoder's version included.

    Raises:
        InvalidInputError: if a field is not valid, a text feature is coded twice or as a number, or d > 64.
    """

    fields: tuple[ContextField, ...]
    features: tuple[str, ...] = field(init=False, compare=False, repr=False)
    names: tuple[str, ...] = field(init=False, compare=False, repr=False)
    hash: str = field(init=False, compare=False)
    _layout: Layout = field(init=False, compare=False, repr=False)
    _codes: tuple[Coder | None, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check the fields and lay out the columns."""
        for each in self.fields:
            check_field(each)
        features = tuple(dict.fromkeys(name for each in self.fields for name in references(each)))
        coded = text_features(self.fields)
        names = tuple(name for each in self.fields for name in entry_names(each, coded))
        if not 0 < len(names) <= MAX_D:
            message = f"context schema has d = {len(names)}: must be between 1 and {MAX_D}"
            raise InvalidInputError(message)
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            message = f"context entries {twice} appear twice: give each field once"
            raise InvalidInputError(message)
        derived = {
            "features": features,
            "names": names,
            "hash": hashlib.blake2b(self._canonical(), digest_size=8).hexdigest(),
            "_layout": lay_out(self.fields, features, coded, len(names)),
            "_codes": tuple(coder(coded.get(name)) for name in features),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @property
    def d(self) -> int:
        """Entries of a context."""
        return len(self.names)

    def is_text(self, feature: int) -> bool:
        """Whether a feature (by index) holds text, coded by ``code``; otherwise it holds a number."""
        return self._codes[feature] is not None

    def coder(self, feature: int) -> Coder | None:
        """The function from a text to its code in ``raw``, or None if the feature holds numbers.

        The code is the text's place in the vocabulary (-1 if it is not in it), or its hash bucket.
        """
        return self._codes[feature]

    def code(self, feature: int, text: str) -> float:
        """Code of a text for ``encode``'s ``raw``.

        Raises:
            InvalidInputError: if the feature holds numbers.
        """
        code = self._codes[feature]
        if code is None:
            message = f"feature {self.features[feature]} holds numbers, not texts such as {text[:80]!r}"
            raise InvalidInputError(message)
        return code(text)

    def raw(self, columns: Mapping[str, Sequence[object]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Turn feature columns (reference -> n values, None where missing) into ``raw`` and ``present``, both (n, f).

        Raises:
            InvalidInputError: if a column is missing, the lengths differ, or a value has the wrong type.
        """
        missing = [name for name in self.features if name not in columns]
        lengths = {len(columns[name]) for name in self.features if name not in missing}
        if missing or len(lengths) > 1:
            message = f"columns {missing} are missing" if missing else f"columns have different lengths {lengths}"
            raise InvalidInputError(message)
        n = lengths.pop() if lengths else 0
        raw = np.full((n, len(self.features)), np.nan)
        for index, name in enumerate(self.features):
            for row, value in enumerate(columns[name]):
                raw[row, index] = self._number(index, value)
        return raw, ~np.isnan(raw)

    def encode(self, raw: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.int16]:
        """Contexts (n, d) of ``raw`` values or codes (n, f) where ``present`` (n, f); x = q / 1024, |q| <= 32767.

        Missing and NaN numbers are imputed, missing texts match nothing. Rows do not affect one another.

        Raises:
            InvalidInputError: if the shapes do not fit the schema.
        """
        if raw.shape != (len(raw), len(self.features)) or present.shape != raw.shape:
            message = f"raw {raw.shape} and present {present.shape} must both be (n, {len(self.features)})"
            raise InvalidInputError(message)
        return encode(np.where(present, raw, np.nan), self._layout)

    def to_json(self) -> bytes:
        """Write the schema, with its hash, as JSON."""
        document = {**self._document(), "hash": self.hash}
        return json.dumps(document, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> "ContextSchema":
        """Read what ``to_json`` wrote.

        Raises:
            InvalidInputError: if it is not such a document, or its hash is not that of its fields.
        """
        try:
            document = json.loads(data)
        except ValueError as error:
            message = f"context schema is not JSON: {error}"
            raise InvalidInputError(message) from error
        schema = cls.from_document(document)
        if document.get("hash") != schema.hash:
            message = f"context schema says hash {document.get('hash')!r} but has {schema.hash!r}: compile it again"
            raise InvalidInputError(message)
        return schema

    @classmethod
    def from_document(cls, document: object) -> "ContextSchema":
        """Read a mapping with ``version`` and ``fields`` (as a YAML file holds).

        Raises:
            InvalidInputError: naming what is wrong.
        """
        if not isinstance(document, Mapping) or not isinstance(document.get("fields"), list):
            message = "context schema must be a mapping with version and a list of fields"
            raise InvalidInputError(message)
        if document.get("version") != CONTEXT_FORMAT:
            message = f"context schema has version {document.get('version')!r}, this version reads {CONTEXT_FORMAT}"
            raise InvalidInputError(message)
        unknown = sorted(set(map(str, document)) - {"version", "encoder", "fields", "hash"})
        if unknown:
            message = f"context schema has unknown entries {unknown}"
            raise InvalidInputError(message)
        return cls(tuple(field_from_plain(plain) for plain in document["fields"]))

    def _document(self) -> dict[str, object]:
        return {
            "version": CONTEXT_FORMAT,
            "encoder": ENCODER_VERSION,
            "fields": [field_to_plain(each) for each in self.fields],
        }

    def _canonical(self) -> bytes:
        return json.dumps(self._document(), sort_keys=True, separators=(",", ":")).encode()

    def _number(self, index: int, value: object) -> float:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return np.nan
        if isinstance(value, str) and self.is_text(index):
            return self.code(index, value)
        if isinstance(value, int | float | np.number | np.bool_) and not self.is_text(index):
            return float(value)
        message = f"{self.features[index]} = {value!r}: expected a {'text' if self.is_text(index) else 'number'}"
        raise InvalidInputError(message)
