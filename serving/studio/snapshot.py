"""What the studio page is told: plain data, made of counts, packs and the latest decisions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts import LINUCB, ORIGINAL_ARM, POLICIES, RANDOM, CreativeRef
from learner import wilson
from serving.decide import Seen
from serving.studio.counts import Counts, Tally

CONTEXT_UNIT = 1024.0
TRAILING_MS = 60_000

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of the slots a page asks for."""

    category: str = ""
    placement: str = ""
    text: str = ""
    limit: int = 12

    def takes(self, item: str, category: str, placement: str) -> bool:
        """Tell whether a slot is asked for."""
        return (
            self.category in {"", category} and self.placement in {"", placement} and self.text.lower() in item.lower()
        )


def rate(tally: Tally) -> Plain:
    """A tally with its click rate and 95 % interval (null while nothing was shown)."""
    if tally.shown <= 0:
        return {"shown": 0, "clicked": 0, "ctr": None, "low": None, "high": None}
    low, high = wilson(tally.clicked, tally.shown)
    return {
        "shown": tally.shown,
        "clicked": tally.clicked,
        "ctr": tally.clicked / tally.shown,
        "low": low,
        "high": high,
    }


def policies_part(counts: Counts) -> list[Plain]:
    """One entry a policy, in their fixed order."""
    return [{"policy": policy, **rate(counts.policies[policy])} for policy in POLICIES if policy in counts.policies]


def series_part(counts: Counts) -> Plain:
    """Click rates over time: since the beginning, and over the last minute or so."""
    buckets = max(3, TRAILING_MS // counts.timeline.bucket_ms)
    return {
        "bucket_ms": counts.timeline.bucket_ms,
        "trailing_ms": buckets * counts.timeline.bucket_ms,
        "total": _lines(counts.policy_series(None)),
        "trailing": _lines(counts.policy_series(buckets)),
    }


def wanted_slots(counts: Counts, wanted: Wanted) -> list[tuple[str, str]]:
    """The asked (item, placement) pairs, in the order of their names."""
    slots = {(cell.item, cell.placement) for cell in counts.cells}
    return sorted(slot for slot in slots if wanted.takes(slot[0], counts.categories[slot[0]], slot[1]))


def slots_part(
    counts: Counts,
    asked: Sequence[tuple[str, str]],
    creatives: Mapping[tuple[str, str], Mapping[str, CreativeRef]],
) -> list[Plain]:
    """The asked slots with their arms: those of the index and those of the log."""
    tallies = counts.slots(asked)
    return [
        _slot(item, counts.categories[item], placement, tallies.get((item, placement), {}), creatives[item, placement])
        for item, placement in asked
    ]


def decisions_part(seen: Iterable[Seen], names: Sequence[str]) -> list[Plain]:
    """The latest decisions, newest first."""
    return [_decision(each, names) for each in reversed(list(seen))]


def encode(value: object) -> bytes:
    """Write as JSON."""
    return msgspec.json.encode(value)


def _lines(series: Iterable[tuple[int, Mapping[str, Tally]]]) -> Plain:
    times: list[int] = []
    lines: dict[str, dict[str, list[float | None]]] = {}
    for end_ms, tallies in series:
        times.append(end_ms)
        for policy in POLICIES:
            if policy in tallies or policy in lines:
                # A policy that begins later has nothing before.
                empty: list[float | None] = [None] * (len(times) - 1)
                line = lines.setdefault(policy, {name: list(empty) for name in ("ctr", "low", "high")})
                point = rate(tallies.get(policy, Tally()))
                for name, values in line.items():
                    values.append(point[name])
    return {"times_ms": times, "policies": lines}


def _slot(
    item: str,
    category: str,
    placement: str,
    arms: Mapping[str, Mapping[str, Tally]],
    creatives: Mapping[str, CreativeRef],
) -> Plain:
    names = sorted(arms.keys() | creatives.keys(), key=lambda arm: (arm != ORIGINAL_ARM, arm))
    totals = {
        policy: sum(by_policy.get(policy, Tally()).shown for by_policy in arms.values()) for policy in (LINUCB, RANDOM)
    }
    parts = []
    for arm in names:
        by_policy = arms.get(arm, {})
        whole = Tally()
        for tally in by_policy.values():
            whole.add(tally.shown, tally.clicked)
        creative = creatives.get(arm)
        parts.append(
            {
                "arm": arm,
                "url": creative.url if creative else None,
                "width": creative.width if creative else None,
                "height": creative.height if creative else None,
                **rate(whole),
                **{
                    f"share_{policy}": by_policy.get(policy, Tally()).shown / total if total else None
                    for policy, total in totals.items()
                },
            }
        )
    shown = sum(part["shown"] for part in parts)
    return {"item": item, "category": category, "placement": placement, "shown": shown, "arms": parts}


def _decision(seen: Seen, names: Sequence[str]) -> Plain:
    chosen = seen.chosen
    scores = None
    if chosen.scores is not None:
        scores = [
            {"arm": arm, "score": float(score)} for arm, score in zip(chosen.eligible, chosen.scores, strict=True)
        ]
    return {
        "id": seen.decision_id,
        "time_ms": seen.decided_ms,
        "user": seen.user,
        "item": seen.item,
        "category": seen.category,
        "placement": seen.placement,
        "policy": seen.policy,
        "arm": chosen.arm,
        "eligible": list(chosen.eligible),
        "propensity": chosen.propensity,
        "url": seen.creative_url,
        "flags": list(seen.flags),
        "context": [
            {"name": name, "value": int(entry) / CONTEXT_UNIT}
            for name, entry in zip(names, seen.context.tolist(), strict=True)
        ],
        "scores": scores,
    }
