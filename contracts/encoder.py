"""The encoder behind a context schema: the schema laid out as index arrays, and the one vectorised function."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.context_fields import Bias, ContextField, Cross, Hashed, Numeric, OneHot, Present
from contracts.errors import InvalidInputError

# Rises whenever the same schema and values would give another context.
ENCODER_VERSION = 1
CONTEXT_SCALE = 1024
UNKNOWN_CODE = -1.0
_ONE = np.int16(CONTEXT_SCALE)

Coder = Callable[[str], float]
Coded = Mapping[str, OneHot | Hashed]


@dataclass(frozen=True, slots=True)
class Layout:
    """A schema as index arrays: which column of a context comes from which feature, and how."""

    template: NDArray[np.int16]
    numeric: NDArray[np.intp]
    source: NDArray[np.intp]
    ratio: NDArray[np.intp]
    divisor: NDArray[np.intp]
    log: NDArray[np.intp]
    impute: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    start: NDArray[np.float64]
    factor: NDArray[np.float64]
    indicator: NDArray[np.intp]
    left: NDArray[np.intp]
    left_code: NDArray[np.float64]
    right: NDArray[np.intp]
    right_code: NDArray[np.float64]
    crossed: bool
    present: NDArray[np.intp]
    present_source: NDArray[np.intp]


def encode(known: NDArray[np.float64], layout: Layout) -> NDArray[np.int16]:
    """Contexts (n, d) of values and codes (n, f), NaN where missing; rows do not affect one another."""
    # A decision encodes one row, where a numpy call costs more than its work: take is half of plain indexing.
    contexts = layout.template.repeat(len(known), axis=0)
    if layout.numeric.size:
        scaled = _scaled(known, layout)
        scaled *= CONTEXT_SCALE
        contexts[:, layout.numeric] = np.rint(scaled, out=scaled)
    if layout.indicator.size:
        hit = known.take(layout.left, axis=1) == layout.left_code
        if layout.crossed:
            hit &= known.take(layout.right, axis=1) == layout.right_code
        contexts[:, layout.indicator] = hit * _ONE
    if layout.present.size:
        contexts[:, layout.present] = ~np.isnan(known[:, layout.present_source]) * np.int16(CONTEXT_SCALE)
    return contexts


def _scaled(known: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    values = known.take(layout.source, axis=1)
    if layout.ratio.size:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            values[:, layout.ratio] /= known.take(layout.divisor, axis=1)
    np.copyto(values, layout.impute, where=np.isnan(values))
    np.maximum(values, layout.low, out=values)
    np.minimum(values, layout.high, out=values)
    if layout.log.size:
        # In memory side by side, whatever the rows: log rounds otherwise where it is vectorised otherwise.
        logs = values.take(layout.log, axis=1)
        values[:, layout.log] = np.log(logs, out=logs)
    values -= layout.start
    values *= layout.factor
    values -= 1.0
    return values


def references(each: ContextField) -> tuple[str, ...]:
    """Features that a field needs."""
    match each:
        case Bias():
            return ()
        case Numeric():
            return (each.feature, each.per) if each.per else (each.feature,)
        case Cross():
            return (each.left, each.right)
        case OneHot() | Hashed() | Present():
            return (each.feature,)


def text_features(fields: Sequence[ContextField]) -> dict[str, OneHot | Hashed]:
    """Text features and how each is coded.

    Raises:
        InvalidInputError: if one is coded twice, used as a number, or a cross lacks its one_hot or hashed field.
    """
    coded: dict[str, OneHot | Hashed] = {}
    for each in fields:
        if isinstance(each, OneHot | Hashed):
            if each.feature in coded:
                message = f"feature {each.feature} is coded twice: use one one_hot or hashed field"
                raise InvalidInputError(message)
            coded[each.feature] = each
    for each in fields:
        if isinstance(each, Numeric):
            for name in references(each):
                if name in coded:
                    message = f"feature {name} is text and a number at once"
                    raise InvalidInputError(message)
        if isinstance(each, Cross):
            for name in (each.left, each.right):
                if name not in coded:
                    message = f"cross of {each.left} and {each.right}: {name} needs a one_hot or hashed field"
                    raise InvalidInputError(message)
    return coded


def _entries(each: OneHot | Hashed) -> list[tuple[str, float]]:
    """Label and code of each entry."""
    if isinstance(each, Hashed):
        return [(f"{each.feature}#{bucket}", float(bucket)) for bucket in range(each.buckets)]
    entries = [(f"{each.feature}={text}", float(code)) for code, text in enumerate(each.vocabulary)]
    return [*entries, (f"{each.feature}=*", UNKNOWN_CODE)] if each.other else entries


def entry_names(each: ContextField, coded: Coded) -> list[str]:
    """Labels of the entries that a field takes."""
    match each:
        case Bias():
            return ["bias"]
        case Numeric():
            value = f"{each.feature}/{each.per}" if each.per else each.feature
            return [f"log {value}" if each.log else value]
        case OneHot() | Hashed():
            return [name for name, _ in _entries(each)]
        case Cross():
            pairs = (
                (left, right) for left, _ in _entries(coded[each.left]) for right, _ in _entries(coded[each.right])
            )
            return [f"{left} & {right}" for left, right in pairs]
        case Present():
            return [f"has {each.feature}"]


def coder(each: OneHot | Hashed | None) -> Coder | None:
    """Make the function from text to code, or None for a feature that holds numbers."""
    if each is None:
        return None
    if isinstance(each, Hashed):
        buckets = each.buckets
        return lambda text: float(
            int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big")
            % buckets
        )
    codes = {text: float(code) for code, text in enumerate(each.vocabulary)}
    return lambda text: codes.get(text, UNKNOWN_CODE)


def lay_out(fields: Sequence[ContextField], features: Sequence[str], coded: Coded, d: int) -> Layout:
    """Lay a checked schema out."""
    index = {name: place for place, name in enumerate(features)}
    template = np.zeros((1, d), dtype=np.int16)
    numbers: list[tuple[int, Numeric]] = []
    indicators: list[tuple[int, int, float, int, float]] = []
    flags: list[tuple[int, int]] = []
    column = 0
    for each in fields:
        match each:
            case Bias():
                template[0, column] = CONTEXT_SCALE
            case Numeric():
                numbers.append((column, each))
            case OneHot() | Hashed():
                at = index[each.feature]
                indicators += [(column + i, at, code, at, code) for i, (_, code) in enumerate(_entries(each))]
            case Cross():
                pairs = ((a, b) for _, a in _entries(coded[each.left]) for _, b in _entries(coded[each.right]))
                at, to = index[each.left], index[each.right]
                indicators += [(column + i, at, a, to, b) for i, (a, b) in enumerate(pairs)]
            case Present():
                flags.append((column, index[each.feature]))
        column += len(entry_names(each, coded))
    ratio = [(place, index[each.per]) for place, (_, each) in enumerate(numbers) if each.per]
    ends = [np.log([e.low, e.high]) if e.log else np.array([e.low, e.high]) for _, e in numbers]
    return Layout(
        template=template,
        numeric=_places([at for at, _ in numbers]),
        source=_places([index[each.feature] for _, each in numbers]),
        ratio=_places([at for at, _ in ratio]),
        divisor=_places([at for _, at in ratio]),
        log=_places([place for place, (_, each) in enumerate(numbers) if each.log]),
        impute=_values([each.impute for _, each in numbers]),
        low=_values([each.low for _, each in numbers]),
        high=_values([each.high for _, each in numbers]),
        start=_values([low for low, _ in ends]),
        factor=_values([2.0 / (high - low) for low, high in ends]),
        indicator=_places([at for at, *_ in indicators]),
        left=_places([at for _, at, *_ in indicators]),
        left_code=_values([code for _, _, code, *_ in indicators]),
        right=_places([at for *_, at, _ in indicators]),
        right_code=_values([code for *_, code in indicators]),
        crossed=any((at, code) != (to, other) for _, at, code, to, other in indicators),
        present=_places([at for at, _ in flags]),
        present_source=_places([at for _, at in flags]),
    )


def _places(values: Sequence[int]) -> NDArray[np.intp]:
    return np.array(values, dtype=np.intp)


def _values(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)
