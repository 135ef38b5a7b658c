"""``python -m benchmarks.gate_tuning``: what the gate's limits are read off, on the half of the products for tuning."""

import sys
from collections.abc import Sequence
from itertools import product

import numpy as np

from benchmarks.gate_pictures import GOOD, GROWN, Judged, halves, judged
from generation import LIMITS
from generation.recut import RECUT_LIMITS

_QUANTILES = (0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0)
_MISMATCHES = (9.0, 11.0, 13.0, 15.0)
_EDGES = (0.75, 1.0, 1.5, 2.0)
_AREAS = (0.003, 0.006, 0.01, 0.02)


def main(prompts: int) -> None:
    """Print each number's quantiles by defect, then what growth's settings would refuse."""
    found = list(judged(halves()[0], prompts=prompts, details=True))
    names = sorted({each.defect for each in found}, key=lambda name: (name != GOOD, name))
    print(f"quantiles {_QUANTILES}")
    for number in (*LIMITS, *RECUT_LIMITS):
        for name in names:
            values = [{**each.numbers, **each.recut}.get(number) for each in found if each.defect == name]
            known = [value for value in values if value is not None]
            if known:
                shown = " ".join(f"{value:9.3f}" for value in np.quantile(known, _QUANTILES))
                print(f"{number:<14} {name:<11} {len(known):>5} {shown}")
    good, grown = ([each for each in found if each.defect == name] for name in (GOOD, GROWN))
    print("growth: mismatch, edge, area -> good refused, grown refused")
    for mismatch, edge, area in product(_MISMATCHES, _EDGES, _AREAS):
        rates = (_rate(some, mismatch, edge, area) for some in (good, grown))
        print(f"{mismatch:6.1f} {edge:6.2f} {area:7.3f} -> " + " ".join(f"{rate:7.1%}" for rate in rates))


def _rate(found: Sequence[Judged], mismatch: float, edge: float, area: float) -> float:
    grown = [
        sum(p.area for p in each.patches if p.mismatch <= mismatch and p.edge >= edge * p.mismatch) for each in found
    ]
    return float(np.mean([value > area for value in grown]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
