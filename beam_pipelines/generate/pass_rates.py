"""Pass rates: how many painted pictures the gate let through, by placement, category, prompt and tag."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from beam_pipelines.generate.manifest import ManifestRow
from contracts import ORIGINAL_ARM

MAX_VALUES = 200
_TOP_REASONS = 3


@dataclass(slots=True)
class _Tally:
    made: int = 0
    passed: int = 0
    at_once: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class PassRates:
    """Counts rows one by one; photos (the arm ``original``) are not judged and do not count."""

    def __init__(self) -> None:
        """Begin with no picture."""
        self._factors: defaultdict[str, defaultdict[str, _Tally]] = defaultdict(lambda: defaultdict(_Tally))

    def count(self, row: ManifestRow) -> None:
        """Count one picture under each of its factors."""
        if row.arm == ORIGINAL_ARM:
            return
        factors = {"all": "all", "placement": row.placement, "category": row.category, "prompt": row.arm}
        for factor, value in {**json.loads(row.tags), **factors}.items():
            tally = self._factors[factor][value]
            tally.made += 1
            tally.passed += not row.flagged
            tally.at_once += not row.flagged and row.attempt == 0
            tally.reasons.update(row.reasons)

    def tables(self) -> dict[str, list[dict[str, object]]]:
        """By factor its values, the lowest pass rate first (at most ``MAX_VALUES``), with the commonest reasons."""
        return {
            factor: [
                {
                    "value": value,
                    "made": tally.made,
                    "passed": tally.passed,
                    "at_once": tally.at_once,
                    "reasons": tally.reasons.most_common(_TOP_REASONS),
                }
                for value, tally in sorted(values.items(), key=_worst_first)[:MAX_VALUES]
            ]
            for factor, values in sorted(self._factors.items())
        }


def _worst_first(entry: tuple[str, _Tally]) -> tuple[float, str]:
    value, tally = entry
    return tally.passed / tally.made, value
