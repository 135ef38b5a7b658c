"""From opened tokens to facts, and from facts to log blobs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts import CLICK, IMPRESSION, Fact, FormatError, TokenPayload, encode_facts

KINDS = {"impression": IMPRESSION, "click": CLICK}
KIND_NAMES = {kind: name for name, kind in KINDS.items()}

_CONTEXT_ENTRY_BYTES = 2


@dataclass(frozen=True, slots=True)
class Signed:
    """A fact and what its batch must say: facts of different schemas or lineages never share a batch."""

    fact: Fact
    schema_hash: str
    lineage: str


def fact_of(payload: TokenPayload, kind: int, event_ms: int) -> Signed:
    """Make the fact that an event on a decision states."""
    fact = Fact(
        kind=kind,
        decision_id=payload.decision_id,
        decision_ms=payload.decision_ms,
        event_ms=event_ms,
        user=payload.user,
        item=payload.item,
        category=payload.category,
        arm=payload.arm,
        creative=payload.creative,
        placement=payload.placement,
        policy=payload.policy,
        eligible=payload.eligible,
        propensity=payload.propensity,
        generation=payload.generation,
        context=payload.context,
    )
    return Signed(fact, payload.schema_hash, payload.lineage)


def blobs_of(signed: Iterable[Signed]) -> list[tuple[bytes, int]]:
    """Encode facts as (blob, number of facts), one blob per schema and lineage."""
    groups: dict[tuple[str, str, int], list[Fact]] = {}
    for entry in signed:
        key = (entry.schema_hash, entry.lineage, len(entry.fact.context) // _CONTEXT_ENTRY_BYTES)
        groups.setdefault(key, []).append(entry.fact)
    return [(_blob(facts, *key), len(facts)) for key, facts in groups.items()]


def blobs_of_good(signed: Sequence[Signed]) -> tuple[list[tuple[bytes, int]], list[Signed]]:
    """As ``blobs_of``, and the facts that cannot be encoded: the rest goes without them."""
    try:
        return blobs_of(signed), []
    except (FormatError, ValueError):
        if len(signed) == 1:
            return [], list(signed)
    half = len(signed) // 2
    blobs, refused = blobs_of_good(signed[:half])
    more, others = blobs_of_good(signed[half:])
    return [*blobs, *more], [*refused, *others]


def warm_up() -> None:
    """Encode once: Arrow loads parts of itself (and pandas, where there is one) with the first batch."""
    fact = Fact(IMPRESSION, bytes(16), 0, 0, "", "", "", "", "", "", "", ("",), 0.0, 0, bytes(_CONTEXT_ENTRY_BYTES))
    blobs_of([Signed(fact, "", "")])


def _blob(facts: Sequence[Fact], schema_hash: str, lineage: str, d: int) -> bytes:
    return encode_facts(facts, d=d, schema_hash=schema_hash, lineage=lineage)
