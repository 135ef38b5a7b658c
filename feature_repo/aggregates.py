"""What is aggregated from the event log, as people write it (aggregates.yaml), and the columns that it leads to."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from contracts import InvalidInputError

AGGREGATES_FORMAT = 1
MAX_COLUMNS = 32

_EVENT_TIME = ("event_timestamp", pa.timestamp("us", tz="UTC"))
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Styles (values of the arms' tag ``style_tag``), price bands, and how strongly rates are smoothed.

    ``limits`` are the prices (B - 1, ascending) at which the next of the B ``bands`` begins; ``prior_strength``
    counts impressions.

    Raises:
        InvalidInputError: naming what is wrong.
    """

    style_tag: str
    styles: tuple[str, ...]
    bands: tuple[str, ...]
    limits: tuple[float, ...]
    prior_strength: float

    def __post_init__(self) -> None:
        """Check names, limits and strength."""
        for what, names in (("styles", self.styles), ("price_bands", self.bands)):
            columns = [column_of(name) for name in names]
            bad = [name for name in names if _NAME.fullmatch(name) is None]
            if bad or len(set(columns)) != len(columns) or len(columns) > MAX_COLUMNS:
                message = (
                    f"{what} {list(names)}: use at most {MAX_COLUMNS} distinct names of small letters, digits, _ or -"
                )
                raise InvalidInputError(message)
        ascending = all(low < high for low, high in zip(self.limits, self.limits[1:], strict=False))
        if len(self.limits) != max(len(self.bands) - 1, 0) or not ascending or not all(map(math.isfinite, self.limits)):
            message = f"price_bands {list(self.bands)} begin at {list(self.limits)}: every one but the last needs a "
            message += "price `below`, ascending"
            raise InvalidInputError(message)
        if not (math.isfinite(self.prior_strength) and self.prior_strength > 0):
            message = f"prior_strength = {self.prior_strength}: must be above 0 and finite"
            raise InvalidInputError(message)


def column_of(name: str) -> str:
    """The part of a column's name that stands for a style or band."""
    return name.replace("-", "_")


def load_aggregates(path: Path) -> Aggregates:
    """Read aggregates.yaml.

    Raises:
        InvalidInputError: naming the file and what is wrong.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _parsed(document)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"aggregates {path} cannot be read: {error}"
        raise InvalidInputError(message) from error
    except (InvalidInputError, KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        message = f"aggregates {path}: {what}"
        raise InvalidInputError(message) from error


def _parsed(document: Any) -> Aggregates:
    known = {"version", "style_tag", "styles", "price_bands", "prior_strength"}
    unknown = sorted(set(document) - known)
    if unknown or document["version"] != AGGREGATES_FORMAT:
        message = f"version {document.get('version')!r} with entries {sorted(document)}: this reads {AGGREGATES_FORMAT}"
        message += f" with {sorted(known)}"
        raise InvalidInputError(message)
    bands = document["price_bands"]
    return Aggregates(
        style_tag=str(document["style_tag"]),
        styles=tuple(map(str, document["styles"])),
        bands=tuple(str(band["name"]) for band in bands),
        limits=tuple(float(band["below"]) for band in bands if "below" in band),
        prior_strength=float(document["prior_strength"]),
    )


def stats_schemas(aggregates: Aggregates) -> Mapping[str, pa.Schema]:
    """Arrow schemas by view; the first column is the entity, the types are those of definitions.py."""
    counts = [("impressions", pa.int64()), ("clicks", pa.int64()), ("ctr", pa.float32())]
    by_style = [(f"ctr_style_{column_of(name)}", pa.float32()) for name in aggregates.styles]
    by_band = [(f"ctr_price_{column_of(name)}", pa.float32()) for name in aggregates.bands]
    recency = [("since_impression_s", pa.int64()), ("since_click_s", pa.int64())]
    return {
        "user_stats": pa.schema([("user", pa.string()), *counts, *by_style, *by_band, *recency, _EVENT_TIME]),
        "item_stats": pa.schema([("item", pa.string()), *counts, ("popularity", pa.float32()), _EVENT_TIME]),
        "placement_stats": pa.schema([("placement", pa.string()), *counts, _EVENT_TIME]),
    }
