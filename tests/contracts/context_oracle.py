"""A slow, independent reading of what a context is: one value at a time, exact rationals, no numpy."""

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction

from contracts import Bias, ContextSchema, Cross, Hashed, Numeric, OneHot, Present

Row = Mapping[str, object]


def context(schema: ContextSchema, row: Row) -> list[list[int]]:
    """Entries of a context, each as the list of values it may have (two where rounding is a tie)."""
    entries: list[list[int]] = []
    for field in schema.fields:
        match field:
            case Bias():
                entries.append([1024])
            case Numeric():
                entries.append(_number(field, row))
            case OneHot() | Hashed():
                entries += [[1024 * hit] for hit in _hits(field, row)]
            case Cross():
                left, right = (_hits(_coded(schema, name), row) for name in (field.left, field.right))
                entries += [[1024 * (a and b)] for a in left for b in right]
            case Present():
                entries.append([1024 * (_known(row[field.feature]) is not None)])
    return entries


def _coded(schema: ContextSchema, feature: str) -> OneHot | Hashed:
    return next(field for field in schema.fields if isinstance(field, OneHot | Hashed) and field.feature == feature)


def _hits(field: OneHot | Hashed, row: Row) -> list[int]:
    text = row[field.feature]
    if isinstance(field, Hashed):
        if text is None:
            return [0] * field.buckets
        digest = hashlib.blake2b(str(text).encode(), digest_size=8).hexdigest()
        return [int(int(digest, 16) % field.buckets == bucket) for bucket in range(field.buckets)]
    hits = [int(text == word) for word in field.vocabulary]
    return [*hits, int(text is not None and not any(hits))] if field.other else hits


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _float(value: object) -> float | None:
    known = _known(value)
    return float(known) if isinstance(known, int | float) else None


def _number(field: Numeric, row: Row) -> list[int]:
    value = _float(row[field.feature])
    if field.per:
        divisor = _float(row[field.per])
        value = None if value is None or divisor is None else _divide(value, divisor)
    v = field.impute if value is None else value
    v = min(max(v, field.low), field.high)
    if field.log:
        t, low, high = (Fraction(math.log(each)) for each in (v, field.low, field.high))
    else:
        t, low, high = (Fraction(each) for each in (v, field.low, field.high))
    exact = (2 * (t - low) / (high - low) - 1) * 1024
    return sorted({round(exact - Fraction(1, 10**6)), round(exact), round(exact + Fraction(1, 10**6))})


def _divide(value: float, divisor: float) -> float | None:
    """IEEE division."""
    if divisor == 0:
        sign = math.copysign(1, value) * math.copysign(1, divisor)
        return None if value == 0 else sign * math.inf
    ratio = value / divisor
    return None if math.isnan(ratio) else ratio
