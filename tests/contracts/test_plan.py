import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import (
    FormatError,
    InvalidInputError,
    PlannedEntity,
    PlannedFeature,
    PlannedView,
    ReadPlan,
    entity_key,
    references_of,
)
from contracts.plan import KEY_TYPES, ROLES, VALUE_TYPES

names = st.text(min_size=1, max_size=6)
features = st.builds(PlannedFeature, names, st.binary(min_size=4, max_size=4), st.sampled_from(sorted(VALUE_TYPES)))
views = st.builds(
    PlannedView,
    names,
    st.integers(0, 2**53),
    st.lists(features, min_size=1, max_size=3, unique_by=lambda feature: feature.name).map(tuple),
)


@st.composite
def plans(draw: st.DrawFn) -> ReadPlan:
    roles = draw(st.lists(st.sampled_from(ROLES), unique=True, min_size=1))
    entities = tuple(
        PlannedEntity(
            role,
            draw(names),
            draw(st.sampled_from(KEY_TYPES)),
            # A name in front keeps views of different entities apart.
            tuple(
                dataclasses.replace(view, name=f"{role}{index}")
                for index, view in enumerate(draw(st.lists(views, max_size=2)))
            ),
        )
        for role in roles
    )
    offered = [name for entity in entities if entity.role == "item" for name in references_of(entity)]
    texts = draw(st.lists(st.sampled_from(offered), unique=True)) if offered else []
    return ReadPlan(draw(names), entities, tuple(texts))


ITEM = PlannedEntity("item", "item", "STRING", (PlannedView("v", 5, (PlannedFeature("a", b"abcd", "FLOAT"),)),))
PLAN = ReadPlan("shop", (ITEM,), ("v:a",))


@given(plans())
def test_json_round_trip(plan: ReadPlan) -> None:
    again = ReadPlan.from_json(plan.to_json())
    assert again == plan
    assert again.fingerprint == plan.fingerprint


def test_fingerprint_changes_with_every_part() -> None:
    view, feature = ITEM.views[0], ITEM.views[0].features[0]
    changed_features = [
        dataclasses.replace(feature, name="b"),
        dataclasses.replace(feature, field=b"abce"),
        dataclasses.replace(feature, value_type="DOUBLE"),
    ]
    changed_views = [
        *(dataclasses.replace(view, features=(each,)) for each in changed_features),
        dataclasses.replace(view, ttl_ms=6),
        dataclasses.replace(view, name="w"),
    ]
    changed_entities = [
        *(dataclasses.replace(ITEM, views=(each,)) for each in changed_views),
        dataclasses.replace(ITEM, role="user"),
        dataclasses.replace(ITEM, join_key="sku"),
        dataclasses.replace(ITEM, key_type="INT64"),
    ]
    plans_changed = [
        *(ReadPlan("shop", (each,)) for each in changed_entities),
        ReadPlan("shop", (ITEM,)),
        ReadPlan("shop2", (ITEM,), ("v:a",)),
    ]
    assert len({PLAN.fingerprint, *(plan.fingerprint for plan in plans_changed)}) == len(plans_changed) + 1


def test_edited_or_damaged_files_are_refused() -> None:
    document = json.loads(PLAN.to_json())
    document["entities"][0]["views"][0]["ttl_ms"] = 10**9
    edited = json.dumps(document).encode()
    document = json.loads(PLAN.to_json()) | {"version": 2}
    for data in (b"", b"[]", b"{}", b"\xff\xfe", edited, json.dumps(document).encode(), PLAN.to_json()[:-20]):
        with pytest.raises(FormatError, match="compile it again"):
            ReadPlan.from_json(data)


def test_what_the_reader_cannot_read_is_refused() -> None:
    view = ITEM.views[0]
    listed = PlannedFeature("a", b"abcd", "INT64_LIST")
    for entity, words in (
        (dataclasses.replace(ITEM, role="shop"), "at most once"),
        (dataclasses.replace(ITEM, key_type="DOUBLE"), "join key of type"),
        (dataclasses.replace(ITEM, views=(dataclasses.replace(view, ttl_ms=-1),)), "TTL"),
        (dataclasses.replace(ITEM, views=(dataclasses.replace(view, features=()),)), "0 features"),
        (dataclasses.replace(ITEM, views=(dataclasses.replace(view, features=(listed,)),)), "INT64_LIST"),
        (dataclasses.replace(ITEM, views=(view, view)), "twice"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            ReadPlan("shop", (entity,))
    with pytest.raises(InvalidInputError, match="at most once"):
        ReadPlan("shop", (ITEM, dataclasses.replace(ITEM, views=())))
    with pytest.raises(InvalidInputError, match="serving needs"):
        ReadPlan("shop", (ITEM,), ("v:b",))


def test_golden_keys() -> None:
    """Bytes that Feast 0.67 writes (tests/feature_repo compares with the library itself)."""
    head = b"\x01\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00item"
    assert entity_key(ITEM, "shop", "é") == head + b"\x02\x00\x00\x00\x02\x00\x00\x00\xc3\xa9shop"
    number = dataclasses.replace(ITEM, key_type="INT64")
    assert entity_key(number, "shop", "-2") == head + b"\x04\x00\x00\x00\x08\x00\x00\x00\xfe" + b"\xff" * 7 + b"shop"


@pytest.mark.parametrize(
    ("key_type", "value"), [("INT64", "x"), ("INT64", str(2**63)), ("INT32", str(2**31)), ("INT64", "")]
)
def test_values_that_cannot_be_keys_are_refused(key_type: str, value: str) -> None:
    with pytest.raises(InvalidInputError, match="not a valid INT"):
        entity_key(dataclasses.replace(ITEM, key_type=key_type), "shop", value)
