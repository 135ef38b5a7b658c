import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import Fact, FormatError, decode_facts, encode_facts, facts_schema
from contracts.facts import MAX_BATCH_ROWS
from contracts.ipc import write_stream
from tests.contracts.strategies import facts

D = 3
GOOD = Fact(
    0,
    bytes(6) + b"\x70\x00\x80" + bytes(7),
    0,
    5,
    "u",
    "i",
    "c",
    "a",
    "p",
    "s",
    "linucb",
    ("a", "b"),
    0.5,
    7,
    b"\x01\x00" * D,
)


def encode(batch: list[Fact]) -> bytes:
    return encode_facts(batch, d=D, schema_hash="hash", lineage="main")


BLOB = encode([GOOD, dataclasses.replace(GOOD, kind=1)])


@given(st.lists(facts(D), max_size=8))
def test_round_trip(batch: list[Fact]) -> None:
    found = decode_facts(encode(batch))
    assert (len(found), found.d, found.schema_hash, found.lineage) == (len(batch), D, "hash", "main")
    assert [bytes(row) for row in found.ids()] == [fact.decision_id for fact in batch]
    assert found.contexts().astype("<i2").tobytes() == b"".join(fact.context for fact in batch)
    for name in ("kind", "decision_ms", "event_ms", "generation"):
        assert found.integers(name).tolist() == [getattr(fact, name) for fact in batch]
    for name in ("item", "category", "arm", "creative", "placement", "policy"):
        codes, names = found.coded(name)
        assert [names[code] for code in codes] == [getattr(fact, name) for fact in batch]
    assert found.rows.column("user").to_pylist() == [fact.user for fact in batch]
    assert found.rows.column("eligible").to_pylist() == [list(fact.eligible) for fact in batch]
    assert found.rows.column("propensity").to_pylist() == [fact.propensity for fact in batch]


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_read_or_refused_but_never_crashes(at: int, flip: int) -> None:
    damaged = bytearray(BLOB)
    damaged[at] ^= flip
    try:
        found = decode_facts(bytes(damaged))
    except FormatError:
        return
    assert found.contexts().shape == (len(found), found.d)
    for name in ("item", "category", "arm"):
        codes, names = found.coded(name)
        assert all(0 <= code < len(names) for code in codes)


@given(st.integers(0, len(BLOB) - 1))
def test_cut_off_bytes_are_refused(size: int) -> None:
    with pytest.raises(FormatError):
        decode_facts(BLOB[:size])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        decode_facts(data)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(FormatError, match="behind its end"):
        decode_facts(BLOB + b"\x00")


def test_a_context_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(FormatError, match="wrong length"):
        encode([dataclasses.replace(GOOD, context=b"\x00\x00")])


def rewritten(metadata: dict[str, str], schema: pa.Schema | None = None, rows: int = 1) -> bytes:
    good = decode_facts(encode([GOOD] * rows)).rows
    batch = good if schema is None else pa.RecordBatch.from_arrays(good.columns[: len(schema)], schema=schema)
    return write_stream(batch, {"format": "facts/1", "d": str(D), **metadata})


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (rewritten({"format": "facts/2"}), "reads 'facts/1'"),
        (rewritten({"d": "x"}), "usable d"),
        (rewritten({"d": "0"}), "d = 0"),
        (rewritten({"d": "4"}), "d = 4"),
        (rewritten({}, pa.schema([facts_schema(D).field(0)])), "columns"),
    ],
)
def test_other_formats_and_columns_are_refused(blob: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode_facts(blob)


def test_nulls_are_refused() -> None:
    good = decode_facts(encode([GOOD])).rows
    columns = list(good.columns)
    columns[good.schema.get_field_index("user")] = pa.array([None], pa.utf8())
    with pytest.raises(FormatError):
        decode_facts(
            write_stream(pa.RecordBatch.from_arrays(columns, schema=good.schema), {"format": "facts/1", "d": str(D)})
        )


def test_too_many_rows_are_refused() -> None:
    one = decode_facts(encode([GOOD])).rows
    many = one.take(pa.array(np.zeros(MAX_BATCH_ROWS + 1, dtype=np.int64)))
    with pytest.raises(FormatError, match="limit"):
        decode_facts(write_stream(many, {"format": "facts/1", "d": str(D)}))
    with pytest.raises(FormatError, match="limit"):
        encode([GOOD] * (MAX_BATCH_ROWS + 1))
