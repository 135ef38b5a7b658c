"""Every broken batch there is, through the real DecodeFacts stage and a real Redis: named, counted, survived."""

import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.learn.chunk import FactColumns
from beam_pipelines.learn.decode import decode_entries
from beam_pipelines.learn.decode_stage import DecodeFacts
from beam_pipelines.learn.fold import WindowState, delta, fold
from beam_pipelines.learn.frames import Frame, encode_frame
from contracts import ORIGIN, LogEntry, Position
from contracts.facts import MAX_BATCH_ROWS
from contracts.ipc import read_stream, write_stream
from stores import DeadLetters, EmbeddedRedis, StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, T0, batch, changed, decision, settings_of

SETTINGS = settings_of()
GOOD = decision(T0, 1)
AFTER = decision(T0, 9)


def altered(**values: object) -> bytes:
    return batch([changed(GOOD, **values)])


def rewritten(
    change: Callable[[dict[str, pa.Array]], object] = lambda _: None,
    *,
    rows: int = 2,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """A batch of which ``change`` has replaced columns; nothing checks them."""
    good, said = read_stream(batch([GOOD] * rows))
    columns = dict(zip(good.schema.names, good.columns, strict=True))
    change(columns)
    schema = pa.schema([pa.field(name, column.type, nullable=False) for name, column in columns.items()])
    whole = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)
    return write_stream(whole, said | (metadata or {}))


def put(name: str, column: pa.Array) -> Callable[[dict[str, pa.Array]], object]:
    return lambda columns: columns.__setitem__(name, column)


def indices(*values: int) -> pa.Array:
    """A dictionary column whose indices nothing has looked at."""
    numbers = pa.array(np.array(values, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(numbers, pa.array(["lamps"]), safe=False)


def patched(old: bytes, new: bytes) -> bytes:
    """A batch of two rows with bytes changed that occur once: pyarrow itself would not make such arrays."""
    blob = batch([GOOD, GOOD])
    assert (blob.count(old), len(old)) == (1, len(new))
    return blob.replace(old, new)


def offsets(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


def contexts(d: int, values: Sequence[int | None]) -> pa.Array:
    kind = pa.list_(pa.field("item", pa.int16(), nullable=False), d)
    return pa.FixedSizeListArray.from_arrays(pa.array(values, pa.int16()), type=kind)


WHOLE = batch([GOOD])
TWO = pa.array([0, 0], pa.int32())
NULL_INSIDE = pa.array([["a"], [None]], pa.list_(pa.field("item", pa.utf8(), nullable=False)))
TOO_MANY = pa.array(np.zeros(MAX_BATCH_ROWS + 1, dtype=np.int64))

BROKEN: dict[str, tuple[bytes, str, int]] = {
    "nothing": (b"", "undecodable", 1),
    "no Arrow": (b"nonsense", "undecodable", 1),
    "zeros": (bytes(4096), "undecodable", 1),
    "cut short": (WHOLE[:-40], "undecodable", 1),
    "cut in its schema": (WHOLE[:100], "undecodable", 1),
    "one byte more": (WHOLE + b"\0", "undecodable", 1),
    "two batches": (WHOLE + WHOLE, "undecodable", 1),
    "a huge message": (b"\xff\xff\xff\xff\xff\xff\xff\x7f" + WHOLE[8:], "undecodable", 1),
    "a message of negative length": (b"\xff\xff\xff\xff\x00\x00\x00\x80" + WHOLE[8:], "undecodable", 1),
    "the next version": (rewritten(metadata={"format": "facts/2"}), "other_format", 1),
    "another format": (rewritten(metadata={"format": "pack/1"}), "other_format", 1),
    "no d": (rewritten(metadata={"d": ""}), "undecodable", 1),
    "a negative d": (rewritten(metadata={"d": "-3"}), "undecodable", 1),
    "an enormous d": (rewritten(metadata={"d": "1" * 5000}), "undecodable", 1),
    "a d that its columns have not": (rewritten(metadata={"d": "4"}), "undecodable", 1),
    "a d of another schema": (batch([decision(T0, 1, d=4), decision(T0, 2, d=4)], d=4), "wrong_d", 2),
    "a column less": (rewritten(lambda columns: columns.pop("policy")), "undecodable", 1),
    "a column more": (rewritten(put("spare", TWO)), "undecodable", 1),
    "a column of another type": (rewritten(put("kind", TWO)), "undecodable", 1),
    "a null user": (rewritten(put("user", pa.array([None, "u"]))), "undecodable", 1),
    "a null category": (rewritten(put("category", pa.array(["a", None]).dictionary_encode())), "undecodable", 1),
    "a null name": (
        rewritten(put("arm", pa.DictionaryArray.from_arrays(TWO, pa.array(["a", None])))),
        "undecodable",
        1,
    ),
    "a null propensity": (rewritten(put("propensity", pa.array([None, 1.0], pa.float32()))), "undecodable", 1),
    "a null eligible arm": (rewritten(put("eligible", NULL_INSIDE)), "undecodable", 1),
    "a null in a context": (rewritten(put("context", contexts(3, [1, 2, None, 4, 5, 6]))), "undecodable", 1),
    "an index behind its dictionary": (rewritten(put("category", indices(0, 1))), "undecodable", 1),
    "an index far away": (rewritten(put("arm", indices(0, 2**31 - 1))), "undecodable", 1),
    "a negative index": (rewritten(put("arm", indices(0, -1))), "undecodable", 1),
    "list offsets that fall": (patched(offsets(0, 3, 6), offsets(0, 6, 3)), "undecodable", 1),
    "negative list offsets": (patched(offsets(0, 3, 6), offsets(-1, 3, 6)), "undecodable", 1),
    "a list beyond its items": (patched(offsets(0, 3, 6), offsets(0, 3, 1000)), "undecodable", 1),
    "a text beyond its bytes": (patched(offsets(0, 6, 12), offsets(0, 6, 1 << 30)), "undecodable", 1),
    "a text that is no UTF-8": (patched(b"user-1user-1", b"user-1user\xff1"), "undecodable", 1),
    "too many rows": (
        rewritten(lambda columns: [put(name, columns[name].take(TOO_MANY))(columns) for name in list(columns)]),
        "undecodable",
        1,
    ),
    "a third kind": (altered(kind=2), "bad_kind", 1),
    "an id of zeros": (altered(decision_id=bytes(16)), "bad_decision_id", 1),
    "an id of version 4": (
        altered(decision_id=GOOD.decision_id[:6] + b"\x40" + GOOD.decision_id[7:]),
        "bad_decision_id",
        1,
    ),
    "an id of another variant": (
        altered(decision_id=GOOD.decision_id[:8] + b"\xc0" + GOOD.decision_id[9:]),
        "bad_decision_id",
        1,
    ),
    "a time that is not the id's": (altered(decision_ms=T0 + 1), "bad_decision_ms", 1),
    "an event before time began": (altered(event_ms=-1), "bad_event_ms", 1),
    "an event at the end of time": (altered(event_ms=(1 << 63) - 1), "bad_event_ms", 1),
    "a category that would leave its key": (altered(category="a}b"), "bad_name", 1),
    "a category that is a path": (altered(category=".."), "bad_name", 1),
    "an arm without a name": (altered(arm=""), "bad_name", 1),
    "a placement too long": (altered(placement="x" * 129), "bad_name", 1),
    "a policy of two words": (altered(policy="two words"), "bad_name", 1),
    "a propensity that is no number": (altered(propensity=math.nan), "bad_propensity", 1),
    "a propensity of nought": (altered(propensity=0.0), "bad_propensity", 1),
    "a propensity above one": (altered(propensity=1.5), "bad_propensity", 1),
    "an endless propensity": (altered(propensity=math.inf), "bad_propensity", 1),
}


class Stage:
    """DecodeFacts as a worker holds it, fed frame by frame."""

    def __init__(self, url: str) -> None:
        self._stage = DecodeFacts(SETTINGS, LINEAGE, url)
        self._stage.setup()

    def take(self, *blobs: bytes, after: Position = ORIGIN) -> int:
        """Put entries behind ``after`` through the stage; returns how many facts come out to be folded."""
        entries = tuple(LogEntry(0, Position(T0, number + 1), blob) for number, blob in enumerate(blobs))
        frame = encode_frame(Frame(0, after, entries))
        return sum(len(FactColumns.decode(chunk)) for chunk in self._stage.process(frame))


@pytest.mark.parametrize("name", BROKEN)
def test_poison_is_a_dead_letter_a_count_and_nothing_more(
    name: str, redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    blob, reason, rows = BROKEN[name]
    stage = Stage(redis_server.url)
    folded = stage.take(batch([AFTER]), blob, batch([AFTER]))
    store, letters = StatisticsStore(redis_client, LINEAGE), DeadLetters(redis_client)
    assert folded == 2
    assert store.tally() == {"counting": 2, reason: rows}
    assert letters.count_by_reason("learn") == {reason: 1}
    (letter,) = letters.latest()
    said = json.loads(letter.detail)
    assert (letter.reason, letter.blob_bytes) == (reason, len(blob))
    assert blob.startswith(letter.blob)
    assert (said["lineage"], said["partition"], said["position"], said["rows"]) == (LINEAGE, 0, f"{T0}-2", rows)
    assert said["detail"]


def test_a_frame_read_again_changes_no_count(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    blobs = [blob for blob, _, _ in BROKEN.values() if len(blob) < 100_000]
    stage = Stage(redis_server.url)
    stage.take(*blobs)
    store, letters = StatisticsStore(redis_client, LINEAGE), DeadLetters(redis_client)
    before = store.tally(), letters.count_by_reason()
    stage.take(*blobs)
    Stage(redis_server.url).take(*blobs)
    assert (store.tally(), letters.count_by_reason()) == before


def test_what_is_wrong_is_said_in_its_own_values(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    bad = changed(GOOD, category="a}b")
    assert Stage(redis_server.url).take(batch([AFTER, GOOD, bad])) == 2
    (letter,) = DeadLetters(redis_client).latest()
    assert "first in row 2: category 'a}b'" in json.loads(letter.detail)["detail"]


def test_another_schema_is_counted_and_no_dead_letter(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    assert Stage(redis_server.url).take(batch([GOOD, AFTER], schema_hash="other"), batch([AFTER])) == 1
    assert StatisticsStore(redis_client, LINEAGE).tally() == {"other_schema": 2, "counting": 1}
    assert DeadLetters(redis_client).count_by_reason() == {}


def test_categories_and_arms_that_nobody_knows_are_learned(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    new = changed(GOOD, category="never-heard-of", arm="nor-of-this", eligible=("nor-of-this",))
    assert Stage(redis_server.url).take(batch([new])) == 1
    assert StatisticsStore(redis_client, LINEAGE).tally() == {"counting": 1}
    facts = decode_entries([LogEntry(0, Position(T0, 1), batch([new]))], SETTINGS).counting
    state = fold(WindowState.zero(SETTINGS.d), facts).state
    learned = delta(state, "never-heard-of", settings=SETTINGS, lineage=LINEAGE, window=T0, shard=0)
    assert (learned.arms, learned.n.tolist()) == (("nor-of-this",), [1.0])


SIX = batch([decision(T0 + i, i) for i in range(6)])


@given(st.data())
def test_a_damaged_batch_costs_at_most_itself(data: st.DataObject) -> None:
    damaged = bytearray(SIX)
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(SIX) - 1))] ^= data.draw(st.integers(1, 255))
    blob = bytes(damaged[: data.draw(st.integers(0, len(SIX)))]) if data.draw(st.booleans()) else bytes(damaged)
    whole = LogEntry(0, Position(T0, 2), batch([AFTER]))
    found = decode_entries([LogEntry(0, Position(T0, 1), blob), whole], SETTINGS)
    assert dict(found.tallies[1]) == {"counting": 1}
    assert {poison.entry.position.sequence for poison in found.poison} <= {1}
    assert len(found.counting) == sum(tally.get("counting", 0) for tally in found.tallies)
    assert np.isfinite(found.counting.contexts).all()
