"""Hypothesis strategies for what contracts/ defines."""

import numpy as np
from hypothesis import strategies as st

from contracts import CLICK, IMPRESSION, POLICIES, Fact, TokenPayload, new_decision_id

LONG = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PROPENSITIES = st.floats(0, 1, width=32)


@st.composite
def decision_ids(draw: st.DrawFn) -> bytes:
    seed = draw(st.binary(min_size=10, max_size=10))
    return new_decision_id(draw(st.integers(0, (1 << 48) - 1)), lambda count: seed[:count])


@st.composite
def contexts(draw: st.DrawFn, d: int) -> bytes:
    entries = draw(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=d, max_size=d))
    return np.array(entries, dtype="<i2").tobytes()


@st.composite
def facts(draw: st.DrawFn, d: int) -> Fact:
    made = draw(decision_ids())
    return Fact(
        kind=draw(st.sampled_from((IMPRESSION, CLICK))),
        decision_id=made,
        decision_ms=int.from_bytes(made[:6], "big"),
        event_ms=draw(LONG),
        user=draw(NAMES),
        item=draw(NAMES),
        category=draw(NAMES),
        arm=draw(NAMES),
        creative=draw(NAMES),
        placement=draw(NAMES),
        policy=draw(st.sampled_from(POLICIES)),
        eligible=tuple(draw(st.lists(NAMES, max_size=4))),
        propensity=draw(PROPENSITIES),
        generation=draw(LONG),
        context=draw(contexts(d)),
    )


@st.composite
def payloads(draw: st.DrawFn) -> TokenPayload:
    return TokenPayload(
        decision_id=draw(decision_ids()),
        user=draw(NAMES),
        item=draw(NAMES),
        category=draw(NAMES),
        arm=draw(NAMES),
        creative=draw(NAMES),
        placement=draw(NAMES),
        policy=draw(st.sampled_from(POLICIES)),
        eligible=tuple(draw(st.lists(NAMES, max_size=4))),
        propensity=draw(PROPENSITIES),
        generation=draw(LONG),
        context=draw(contexts(draw(st.integers(0, 64)))),
        schema_hash=draw(NAMES),
        lineage=draw(NAMES),
        landing_url=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=80)),
    )
