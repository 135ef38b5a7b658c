"""What a run would cost, from its counts and a price file: machine hours, storage, money."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beam_pipelines.generate.config import PlanCounts
from contracts import InvalidInputError
from generation import read_document

_HOUR_S = 3600.0
_GIB = float(1 << 30)
_MEGAPIXEL = 1e6
_RATES = ("seconds_per_picture", "seconds_per_product", "bytes_per_megapixel", "bytes_per_product")


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one ``machine`` is with a ``backend`` whose options include ``options``; ``source`` says who measured.

    ``seconds_per_picture`` is of a painted picture, its share of repeated attempts included, ``seconds_per_product`` of
    its photo and cut-out; bytes are of stored files, per megapixel of pictures and per product (its cut-out).
    """

    backend: str
    machine: str
    source: str
    seconds_per_picture: float
    seconds_per_product: float
    bytes_per_megapixel: float
    bytes_per_product: float
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prices:
    """A price file: money per machine hour and per GiB stored for a month, in ``currency``, and rates."""

    currency: str
    note: str
    machines: Mapping[str, float]
    gib_month: float
    rates: tuple[Rate, ...]

    def rate(self, backend: str, options: Mapping[str, str]) -> Rate:
        """The rate that fits, that with the most options if several do.

        Raises:
            InvalidInputError: if none does.
        """
        fitting = [rate for rate in self.rates if rate.backend == backend and rate.options.items() <= options.items()]
        if not fitting:
            known = ", ".join(f"{rate.backend} {dict(rate.options)}" for rate in self.rates)
            message = f"no rate for backend {backend!r} with options {dict(options)}: prices are for {known}, add it"
            raise InvalidInputError(message)
        return max(fitting, key=lambda rate: len(rate.options))


@dataclass(frozen=True, slots=True)
class Estimate:
    """Hours of one ``machine`` and their money, GiB written and their money a month."""

    rate: Rate
    currency: str
    note: str
    hours: float
    compute: float
    gib: float
    gib_month: float


def estimate(counts: PlanCounts, prices: Prices, backend: str, options: Mapping[str, str]) -> Estimate:
    """What the counted work takes at most: a product with anything to make is not told from one with nothing.

    Raises:
        InvalidInputError: if the price file has no rate for the backend.
    """
    rate = prices.rate(backend, options)
    products = counts.products if counts.pictures else 0
    hours = (counts.painted * rate.seconds_per_picture + products * rate.seconds_per_product) / _HOUR_S
    size = counts.pixels / _MEGAPIXEL * rate.bytes_per_megapixel + products * rate.bytes_per_product
    gib = size / _GIB
    compute = hours * prices.machines[rate.machine]
    return Estimate(rate, prices.currency, prices.note, hours, compute, gib, gib * prices.gib_month)


def read_prices(path: Path) -> Prices:
    """Read a price file: version 1, currency, note, machines, store and rates (deploy/generate/prices.yaml).

    Raises:
        InvalidInputError: naming the file, the key, its value and the rule.
    """
    document = read_document(path, "rates")
    machines = {
        str(name): _number(path, f"machines.{name}", _mapping(path, f"machines.{name}", of), "per_hour")
        for name, of in _mapping(path, "machines", document.get("machines")).items()
    }
    entries = document["rates"]
    if not isinstance(entries, list) or not entries:
        message = f"{path}: 'rates' must be a list of at least one rate"
        raise InvalidInputError(message)
    return Prices(
        _text(path, "the file", document, "currency"),
        str(document.get("note") or ""),
        machines,
        _number(path, "store", _mapping(path, "store", document.get("store")), "per_gib_month"),
        tuple(_rate(path, f"rates[{index}]", entry, machines) for index, entry in enumerate(entries)),
    )


def _rate(path: Path, place: str, value: object, machines: Mapping[str, float]) -> Rate:
    entry = _mapping(path, place, value)
    machine = _text(path, place, entry, "machine")
    if machine not in machines:
        message = f"{path}: machine of {place} is {machine!r}: use one of {', '.join(machines)}"
        raise InvalidInputError(message)
    options = _mapping(path, f"{place}.options", entry.get("options") or {})
    numbers = {name: _number(path, place, entry, name) for name in _RATES}
    return Rate(
        backend=_text(path, place, entry, "backend"),
        machine=machine,
        source=_text(path, place, entry, "source"),
        options={str(name): str(option) for name, option in options.items()},
        **numbers,
    )


def _mapping(path: Path, place: str, value: object) -> Mapping[object, object]:
    if not isinstance(value, dict):
        message = f"{path}: {place} is {value!r}, it must be a mapping"
        raise InvalidInputError(message)
    return value


def _text(path: Path, place: str, entry: Mapping[object, object] | Mapping[str, object], key: str) -> str:
    value = {str(name): text for name, text in entry.items()}.get(key)
    if not isinstance(value, str) or not value.strip():
        message = f"{path}: {key} of {place} is {value!r}, it must be a text"
        raise InvalidInputError(message)
    return value.strip()


def _number(path: Path, place: str, entry: Mapping[object, object], key: str) -> float:
    value = entry.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        message = f"{path}: {key} of {place} is {value!r}, it must be a number, 0 or more"
        raise InvalidInputError(message)
    return float(value)
