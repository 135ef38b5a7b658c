import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts import (
    CONTEXT_SCALE,
    Bias,
    ContextField,
    ContextSchema,
    Cross,
    Hashed,
    InvalidInputError,
    Numeric,
    OneHot,
    Present,
)
from tests.contracts.context_oracle import context

TEXTS = ("v:a", "v:b", "w:c")
NUMBERS = ("v:x", "v:y", "w:z")
FULL = ContextSchema(
    (
        Bias(),
        OneHot("v:a", ("red", "green", "blue"), other=True),
        OneHot("v:b", ("up", "down")),
        Hashed("w:c", 5),
        Cross("v:a", "v:b"),
        Numeric("v:x", -3.0, 9.0, 1.5),
        Numeric("v:y", 0.5, 2000.0, 40.0, log=True),
        Numeric("v:x", 0.25, 4.0, 1.0, log=True, per="w:z"),
        Present("v:y"),
        Present("v:a"),
    )
)

words = st.one_of(st.none(), st.sampled_from(["red", "green", "blue", "up", "down", "", "é☃"]), st.text(max_size=8))
numbers = st.one_of(st.none(), st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans())


@st.composite
def rows(draw: st.DrawFn) -> dict[str, object]:
    return {**{name: draw(words) for name in TEXTS}, **{name: draw(numbers) for name in NUMBERS}}


@st.composite
def schemas(draw: st.DrawFn) -> ContextSchema:
    fields: list[ContextField] = [Bias()] if draw(st.booleans()) else []
    vocabularies = st.lists(st.text("abcrgdu", min_size=1, max_size=4), min_size=1, max_size=4, unique=True)
    one_hot = draw(st.lists(st.sampled_from(TEXTS[:2]), unique=True))
    fields += [OneHot(name, tuple(draw(vocabularies)), draw(st.booleans())) for name in one_hot]
    if draw(st.booleans()):
        fields.append(Hashed("w:c", draw(st.integers(1, 6))))
    coded = [each.feature for each in fields if isinstance(each, OneHot | Hashed)]
    if len(coded) > 1 and draw(st.booleans()):
        left, right = draw(st.permutations(coded))[:2]
        fields.append(Cross(left, right))
    for name in draw(st.lists(st.sampled_from(NUMBERS), unique=True)):
        log = draw(st.booleans())
        low = draw(st.floats(0.001, 100) if log else st.floats(-1e6, 1e6))
        high = low + draw(st.floats(0.01, 1e6))
        per = draw(st.sampled_from(("", "w:z"))) if name != "w:z" else ""
        fields.append(Numeric(name, low, high, draw(st.floats(-1e7, 1e7)), log, per))
        if draw(st.booleans()):
            fields.append(Present(name))
    return ContextSchema(tuple(fields or [Bias()]))


def encode(schema: ContextSchema, table: list[Mapping[str, object]]) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    columns = {name: [row[name] for row in table] for name in schema.features}
    raw, present = schema.raw(columns)
    if not schema.features:
        raw, present = np.zeros((len(table), 0)), np.zeros((len(table), 0), dtype=np.bool_)
    return schema.encode(raw, present)


@given(schemas(), st.lists(rows(), min_size=1, max_size=6))
def test_encoder_agrees_with_the_oracle(schema: ContextSchema, table: list[Mapping[str, object]]) -> None:
    encoded = encode(schema, table)
    assert encoded.dtype == np.int16
    assert encoded.shape == (len(table), schema.d)
    for found, row in zip(encoded.tolist(), table, strict=True):
        for name, entry, allowed in zip(schema.names, found, context(schema, row), strict=True):
            assert entry in allowed, (name, entry, allowed)


@given(st.lists(rows(), min_size=1, max_size=20))
def test_batch_equals_single_rows_and_stays_in_range(table: list[Mapping[str, object]]) -> None:
    batch = encode(FULL, table)
    singles = np.concatenate([encode(FULL, [row]) for row in table])
    assert np.array_equal(batch, singles)
    assert np.abs(batch.astype(np.int64)).max() <= CONTEXT_SCALE


@given(st.integers(1, 40))
def test_order_and_memory_layout_do_not_matter(n: int) -> None:
    rng = np.random.default_rng(n)
    raw = rng.normal(scale=100, size=(n, len(FULL.features)))
    present = rng.random(raw.shape) < 0.7
    expected = FULL.encode(raw, present)
    order = rng.permutation(n)
    assert np.array_equal(FULL.encode(raw[order], present[order]), expected[order])
    assert np.array_equal(FULL.encode(np.asfortranarray(raw), np.asfortranarray(present)), expected)


def test_arguments_are_left_alone() -> None:
    raw = np.full((3, len(FULL.features)), np.nan)
    present = np.ones(raw.shape, dtype=np.bool_)
    FULL.encode(raw, present)
    assert np.isnan(raw).all()
    assert present.all()


def test_known_values() -> None:
    row = {"v:a": "green", "v:b": "sideways", "w:c": None, "v:x": 9.0, "v:y": 0.5, "w:z": 9.0}
    entries = dict(zip(FULL.names, encode(FULL, [row])[0].tolist(), strict=True))
    assert entries["bias"] == 1024
    assert [entries[f"v:a={word}"] for word in ("red", "green", "blue", "*")] == [0, 1024, 0, 0]
    assert entries["v:b=up"] == entries["v:b=down"] == entries["v:a=green & v:b=up"] == 0
    assert [entries[f"w:c#{bucket}"] for bucket in range(5)] == [0] * 5
    assert entries["v:x"] == 1024
    assert entries["log v:y"] == -1024
    assert entries["log v:x/w:z"] == 0
    assert entries["has v:y"] == entries["has v:a"] == 1024


@pytest.mark.parametrize("value", [None, math.nan])
def test_missing_and_nan_are_imputed(value: float | None) -> None:
    schema = ContextSchema((Numeric("v:x", -2.0, 2.0, 1.0), Present("v:x")))
    assert encode(schema, [{"v:x": value}]).tolist() == [[512, 0]]


@pytest.mark.parametrize(("value", "entry"), [(math.inf, 1024), (-math.inf, -1024), (1e300, 1024), (-7, -1024)])
def test_numbers_are_clipped(value: float, entry: int) -> None:
    assert encode(ContextSchema((Numeric("v:x", -2.0, 2.0, 1.0),)), [{"v:x": value}]).tolist() == [[entry]]


def test_division_by_zero_is_clipped_and_zero_by_zero_imputed() -> None:
    schema = ContextSchema((Numeric("v:x", -2.0, 2.0, 1.0, per="v:y"),))
    found = encode(schema, [{"v:x": x, "v:y": 0} for x in (3, -3, 0)])
    assert found.tolist() == [[1024], [-1024], [512]]


def test_unknown_text_goes_to_the_other_entry_or_nowhere() -> None:
    with_other = ContextSchema((OneHot("v:a", ("x",), other=True),))
    without = ContextSchema((OneHot("v:a", ("x",)),))
    assert encode(with_other, [{"v:a": "y"}, {"v:a": None}]).tolist() == [[0, 1024], [0, 0]]
    assert encode(without, [{"v:a": "y"}]).tolist() == [[0]]
    assert with_other.code(0, "x") == 0.0
    assert with_other.code(0, "y") == -1.0


@given(schemas())
def test_json_round_trip_keeps_schema_and_hash(schema: ContextSchema) -> None:
    again = ContextSchema.from_json(schema.to_json())
    assert again == schema
    assert (again.hash, again.names, again.features) == (schema.hash, schema.names, schema.features)


CHANGED = [
    (Bias(), None),
    (OneHot("v:a", ("red", "green")), {"vocabulary": ("green", "red")}),
    (OneHot("v:a", ("red", "green")), {"vocabulary": ("red", "greem")}),
    (OneHot("v:a", ("red", "green")), {"other": True}),
    (OneHot("v:a", ("red", "green")), {"feature": "v:b"}),
    (Hashed("v:a", 4), {"buckets": 5}),
    (Numeric("v:x", 1.0, 2.0, 1.5), {"low": 0.5}),
    (Numeric("v:x", 1.0, 2.0, 1.5), {"high": 2.5}),
    (Numeric("v:x", 1.0, 2.0, 1.5), {"impute": 1.0}),
    (Numeric("v:x", 1.0, 2.0, 1.5), {"log": True}),
    (Numeric("v:x", 1.0, 2.0, 1.5), {"per": "v:y"}),
    (Numeric("v:x", 1.0, 2.0, 1.5), {"feature": "v:y"}),
    (Present("v:x"), {"feature": "v:y"}),
]


@pytest.mark.parametrize(("field", "change"), CHANGED)
def test_hash_changes_with_everything_that_matters(field: ContextField, change: dict[str, object] | None) -> None:
    base = ContextSchema((Present("u:u"), field))
    others = [ContextSchema((field, Present("u:u"))), ContextSchema((Present("u:u"),))]
    if change:
        plain = {**json.loads(ContextSchema((field,)).to_json())["fields"][0], **change}
        others.append(
            ContextSchema.from_document({"version": 1, "fields": [{"kind": "present", "feature": "u:u"}, plain]})
        )
    assert len({base.hash, *(other.hash for other in others)}) == len(others) + 1


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[ContextSchema, ContextSchema]:
    """A schema, and one that differs from it in one thing (or, by chance, in none)."""
    schema = draw(schemas())
    fields = list(schema.fields)
    place = draw(st.integers(0, len(fields) - 1))
    other = draw(st.sampled_from(draw(schemas()).fields))
    change = draw(st.sampled_from(("drop", "swap", "insert", "replace", "edit")))
    if change == "drop":
        del fields[place]
    elif change == "swap":
        fields[0], fields[place] = fields[place], fields[0]
    elif change == "insert":
        fields.insert(place, other)
    elif change == "replace":
        fields[place] = other
    else:
        fields[place] = draw(edited(fields[place]))
    try:
        return schema, ContextSchema(tuple(fields))
    except InvalidInputError:
        assume(False)
        raise


def edited(field: ContextField) -> st.SearchStrategy[ContextField]:
    """The field with another value in one of its places; not always a valid one."""
    by_type: dict[type, st.SearchStrategy[object]] = {
        bool: st.booleans(),
        int: st.integers(1, 6),
        float: st.floats(-1e7, 1e7),
        str: st.sampled_from((*TEXTS, *NUMBERS, "")),
        tuple: st.lists(st.text("abcrgdu", min_size=1, max_size=4), min_size=1, max_size=4, unique=True).map(tuple),
    }
    values = asdict(field)
    if not values:
        return st.just(field)
    return st.sampled_from(sorted(values)).flatmap(
        lambda name: by_type[type(values[name])].map(lambda value: _with(field, name, value))
    )


def _with(field: Any, name: str, value: object) -> ContextField:
    changed: ContextField = replace(field, **{name: value})
    return changed


@given(neighbours(), st.lists(rows(), min_size=1, max_size=4))
def test_what_changes_an_encoding_changes_the_hash(
    pair: tuple[ContextSchema, ContextSchema], table: list[Mapping[str, object]]
) -> None:
    one, other = pair
    same = one.names == other.names and np.array_equal(encode(one, table), encode(other, table))
    if one.fields != other.fields or not same:
        assert one.hash != other.hash
    else:
        assert same


def test_hash_does_not_change_with_how_it_is_written() -> None:
    document = {"version": 1, "fields": [{"kind": "numeric", "feature": "v:x", "low": 1, "high": 2, "impute": 1}]}
    assert ContextSchema.from_document(document) == ContextSchema((Numeric("v:x", 1.0, 2.0, 1.0),))
    in_integers = ContextSchema((Numeric("v:x", 1, 2, 1),))
    assert in_integers.hash == ContextSchema.from_json(in_integers.to_json()).hash


def test_hash_is_pinned() -> None:
    # Changing this on purpose means a new ENCODER_VERSION: lineages of the old hash no longer match.
    assert FULL.hash == "0b20de9053fbec4c"


BAD_FIELDS: list[tuple[ContextField, str]] = [
    (Numeric("x", 0.0, 1.0, 0.5), "view:feature"),
    (Numeric("v:x", 1.0, 1.0, 0.5), "below high"),
    (Numeric("v:x", 0.0, math.inf, 0.5), "finite"),
    (Numeric("v:x", 0.0, 1.0, math.nan), "impute"),
    (Numeric("v:x", 0.0, 1.0, 0.5, log=True), "logarithm"),
    (Numeric("v:x", -1e308, 1e308, 0.5), "too near or too far"),
    (OneHot("v:a", ()), "at least one"),
    (OneHot("v:a", ("x", "x")), "distinct"),
    (OneHot("v:a", ("x" * 300,)), "characters"),
    (Hashed("v:a", 0), "at least 1"),
    (Cross("v:a", "v:a"), "two different"),
]


@pytest.mark.parametrize(("field", "words"), BAD_FIELDS)
def test_bad_fields_are_refused(field: ContextField, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ContextSchema((field,))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((), "d = 0"),
        ((Hashed("v:a", 65),), "d = 65"),
        ((Bias(), Bias()), "twice"),
        ((OneHot("v:a", ("x",)), Hashed("v:a", 3)), "coded twice"),
        ((OneHot("v:a", ("x",)), Numeric("v:a", 0.0, 1.0, 0.5)), "text and a number"),
        ((OneHot("v:a", ("x",)), Cross("v:a", "v:b")), "needs a one_hot"),
    ],
)
def test_bad_schemas_are_refused(fields: tuple[ContextField, ...], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        ContextSchema(fields)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"version": 1},
        {"version": 2, "fields": [{"kind": "bias"}]},
        {"version": 1, "fields": [{"kind": "bias"}], "extra": 1},
        {"version": 1, "fields": ["bias"]},
        {"version": 1, "fields": [{"kind": "magic"}]},
        {"version": 1, "fields": [{"kind": "bias", "feature": "v:x"}]},
        {"version": 1, "fields": [{"kind": "hashed", "feature": "v:x", "buckets": 2.5}]},
        {"version": 1, "fields": [{"kind": "hashed", "feature": "v:x", "buckets": True}]},
        {"version": 1, "fields": [{"kind": "one_hot", "feature": "v:x", "vocabulary": [1]}]},
        {"version": 1, "fields": [{"kind": "numeric", "feature": "v:x", "low": "0", "high": 1, "impute": 1}]},
        {"version": 1, "fields": [{"kind": "numeric", "feature": "v:x"}]},
    ],
)
def test_bad_documents_are_refused(document: object) -> None:
    with pytest.raises(InvalidInputError):
        ContextSchema.from_document(document)


def test_damaged_json_is_refused() -> None:
    document = json.loads(FULL.to_json())
    document["fields"][1]["vocabulary"][0] = "purple"
    for data in (b"", b"\xff", b"[]", json.dumps(document).encode()):
        with pytest.raises(InvalidInputError):
            ContextSchema.from_json(data)


def test_wrong_shapes_columns_and_types_are_refused() -> None:
    f = len(FULL.features)
    with pytest.raises(InvalidInputError, match="must both be"):
        FULL.encode(np.zeros((2, f - 1)), np.ones((2, f - 1), dtype=np.bool_))
    with pytest.raises(InvalidInputError, match="must both be"):
        FULL.encode(np.zeros((2, f)), np.ones((3, f), dtype=np.bool_))
    good: dict[str, list[object]] = {name: [None] for name in FULL.features}
    with pytest.raises(InvalidInputError, match="missing"):
        FULL.raw({})
    with pytest.raises(InvalidInputError, match="lengths"):
        FULL.raw({**good, "v:x": [1, 2]})
    with pytest.raises(InvalidInputError, match="expected a number"):
        FULL.raw({**good, "v:x": ["text"]})
    with pytest.raises(InvalidInputError, match="expected a text"):
        FULL.raw({**good, "v:a": [1.0]})
    with pytest.raises(InvalidInputError, match="holds numbers"):
        FULL.code(FULL.features.index("v:x"), "text")
