"""How many pictures the gate let through, by category and by level of each factor."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from beam_pipelines.generate.manifest import ManifestRow
from contracts import ORIGINAL_ARM
from learner import wilson


@dataclass(frozen=True, slots=True)
class Rate:
    """Pictures of one level of a factor: how many there are, passed at once, and passed in the end."""

    factor: str
    level: str
    pictures: int
    at_once: int
    passed: int

    def plain(self) -> dict[str, object]:
        """As JSON, with the Wilson interval (95 %) of each share."""
        return {
            **asdict(self),
            "at_once_interval": wilson(self.at_once, self.pictures),
            "passed_interval": wilson(self.passed, self.pictures),
        }


def painted(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """The rows of pictures that were painted: all but the untouched photos."""
    return [row for row in rows if row.arm != ORIGINAL_ARM]


def levels_of(row: ManifestRow) -> dict[str, str]:
    """The levels that a row's prompt has, by factor."""
    tags: dict[str, str] = json.loads(row.tags)
    return tags


def factors_of(rows: Sequence[ManifestRow]) -> tuple[str, ...]:
    """Factors that vary between the pictures of one product: a tag that all of them share is none."""
    seen: dict[str, dict[str, set[str]]] = {}
    for row in painted(rows):
        for factor, level in levels_of(row).items():
            seen.setdefault(factor, {}).setdefault(row.item_id, set()).add(level)
    return tuple(sorted(factor for factor, items in seen.items() if max(map(len, items.values())) > 1))


def rates_by(rows: Sequence[ManifestRow], factor: str, level_of: Callable[[ManifestRow], str]) -> tuple[Rate, ...]:
    """A rate for each level, levels by name."""
    groups: dict[str, list[ManifestRow]] = {}
    for row in painted(rows):
        groups.setdefault(level_of(row), []).append(row)
    return tuple(_rate(factor, level, groups[level]) for level in sorted(groups))


def _rate(factor: str, level: str, rows: Sequence[ManifestRow]) -> Rate:
    passed = [row for row in rows if not row.flagged]
    return Rate(factor, level, len(rows), sum(row.attempt == 0 for row in passed), len(passed))


def reasons_of(rows: Sequence[ManifestRow]) -> dict[str, int]:
    """How many refused pictures broke each limit, most frequent first; a picture may break several."""
    counts = Counter(reason for row in painted(rows) if row.flagged for reason in row.reasons)
    return dict(counts.most_common())
