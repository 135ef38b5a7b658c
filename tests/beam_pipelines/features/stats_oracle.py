"""Features by their definitions: Python sets, exact fractions, one fact at a time."""

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import partial

from contracts import CLICK, Fact, LineageSettings, decision_ms

Row = dict[str, Fraction | int | None]
Decisions = list[tuple[Fact, bool]]
STYLES = ("calm", "living-room")
LIMITS = (50.0, 200.0)
BANDS = ("low", "middle", "high")
STRENGTH = Fraction(5, 2)
TAGS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "lamps": {"arm-0": {"mood": "calm"}, "arm-1": {"mood": "living-room"}, "arm-2": {"surface": "calm"}},
    "chairs": {"arm-0": {"mood": "living-room"}, "arm-1": {"mood": "wild"}},
}
PRICES: Mapping[str, float | None] = {"item-0": 49.99, "item-1": 50.0, "item-2": 200.0, "item-3": None}


def rows_of(
    appended: Iterable[tuple[int, Fact]], rules: LineageSettings, as_of_ms: int, horizon_ms: int
) -> dict[str, dict[str, Row]]:
    """Rows by view and entity."""
    shown: dict[bytes, Fact] = {}
    clicked: set[bytes] = set()
    for append_ms, fact in appended:
        at = decision_ms(fact.decision_id)
        window = at // rules.window_ms * rules.window_ms
        bound = window + rules.window_ms + rules.attribution_ms + rules.grace_ms
        late, early = append_ms >= bound, at > append_ms + rules.grace_ms
        unattributed = fact.kind == CLICK and fact.event_ms - at > rules.attribution_ms
        if late or early or unattributed or bound > as_of_ms or window < as_of_ms - horizon_ms:
            continue
        shown[fact.decision_id] = fact
        if fact.kind == CLICK:
            clicked.add(fact.decision_id)
    decisions = [(fact, key in clicked) for key, fact in shown.items()]
    overall = Fraction(len(clicked), max(len(decisions), 1))
    users: dict[str, Row] = {}
    for user in {fact.user for fact, _ in decisions}:
        own = [(fact, hit) for fact, hit in decisions if fact.user == user]
        row = _counts(own, overall)
        for style in STYLES:
            column = f"ctr_style_{style.replace('-', '_')}"
            row[column] = _part(decisions, own, partial(_has, style_of, style), overall)
        for band in BANDS:
            row[f"ctr_price_{band}"] = _part(decisions, own, partial(_has, band_of, band), overall)
        seen = [decision_ms(fact.decision_id) for fact, _ in own]
        hits = [decision_ms(fact.decision_id) for fact, hit in own if hit]
        row["since_impression_s"] = (as_of_ms - max(seen)) // 1000
        row["since_click_s"] = (as_of_ms - max(hits)) // 1000 if hits else None
        users[user] = row
    items = {
        item: _counts([pair for pair in decisions if pair[0].item == item], overall)
        for item in {fact.item for fact, _ in decisions}
    }
    most = max((int(row["impressions"] or 0) for row in items.values()), default=1)
    for row in items.values():
        row["popularity"] = Fraction(int(row["impressions"] or 0), most)
    placements = {
        name: _counts([pair for pair in decisions if pair[0].placement == name], overall)
        for name in {fact.placement for fact, _ in decisions}
    }
    return {"user_stats": users, "item_stats": items, "placement_stats": placements}


def style_of(fact: Fact) -> str | None:
    return TAGS.get(fact.category, {}).get(fact.arm, {}).get("mood")


def band_of(fact: Fact) -> str | None:
    price = PRICES.get(fact.item)
    if price is None:
        return None
    return BANDS[sum(price >= limit for limit in LIMITS)]


def _has(kind_of: Callable[[Fact], str | None], kind: str, fact: Fact) -> bool:
    return kind_of(fact) == kind


def _rate(clicks: int, impressions: int, prior: Fraction) -> Fraction:
    return (clicks + STRENGTH * prior) / (impressions + STRENGTH)


def _counts(decisions: Decisions, overall: Fraction) -> Row:
    clicks = sum(hit for _, hit in decisions)
    return {"impressions": len(decisions), "clicks": clicks, "ctr": _rate(clicks, len(decisions), overall)}


def _part(
    everyone: list[tuple[Fact, bool]], own: list[tuple[Fact, bool]], belongs: object, overall: Fraction
) -> Fraction:
    assert callable(belongs)
    of_all = [hit for fact, hit in everyone if belongs(fact)]
    of_own = [hit for fact, hit in own if belongs(fact)]
    return _rate(sum(of_own), len(of_own), _rate(sum(of_all), len(of_all), overall))
