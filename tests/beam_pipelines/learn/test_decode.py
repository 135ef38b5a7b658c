"""Decoding: what cannot be learned is named by reason, the rest goes on."""

import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines.learn.decode import Decoded, decode_entries
from contracts import LogEntry, Position
from contracts.ipc import read_stream, write_stream
from tests.beam_pipelines.facts import T0, batch, changed, click_on, decision, settings_of

SETTINGS = settings_of()


def decoded(*blobs: bytes, append_ms: int = T0) -> Decoded:
    entries = [LogEntry(0, Position(append_ms, i), blob) for i, blob in enumerate(blobs)]
    return decode_entries(entries, SETTINGS)


def names_of(found: Decoded) -> list[tuple[str, ...]]:
    facts = found.counting
    return [tuple(names[code] for names, code in zip(facts.names, codes, strict=True)) for codes in facts.codes]


GOOD = decision(T0, 1)


def test_facts_of_several_entries_come_as_one_set_of_columns() -> None:
    found = decoded(batch([GOOD, click_on(GOOD, T0)]), batch([decision(T0, 2, category="chairs")]))
    assert len(found.counting) == 3
    assert found.poison == ()
    assert [dict(tally) for tally in found.tallies] == [{"counting": 2}, {"counting": 1}]
    assert {names[0] for names in names_of(found)} == {"lamps", "chairs"}
    np.testing.assert_array_equal(found.counting.contexts[0], np.frombuffer(GOOD.context, dtype="<i2"))


@pytest.mark.parametrize(
    ("blob", "reason", "rows"),
    [
        (b"", "undecodable", 1),
        (b"nonsense", "undecodable", 1),
        (batch([GOOD])[:-40], "undecodable", 1),
        (batch([GOOD]).replace(b"facts/1", b"facts/9"), "other_format", 1),
        (batch([decision(T0, 1, d=4), decision(T0, 2, d=4)], d=4), "wrong_d", 2),
        (batch([changed(GOOD, kind=2)]), "bad_kind", 1),
        (batch([changed(GOOD, decision_id=bytes(16))]), "bad_decision_id", 1),
        (batch([changed(GOOD, decision_ms=T0 + 1)]), "bad_decision_ms", 1),
        (batch([changed(GOOD, event_ms=-1)]), "bad_event_ms", 1),
        (batch([changed(GOOD, event_ms=1 << 48)]), "bad_event_ms", 1),
        (batch([changed(GOOD, category="a{b}")]), "bad_name", 1),
        (batch([changed(GOOD, arm="")]), "bad_name", 1),
    ],
)
def test_poison_is_named_and_the_rest_goes_on(blob: bytes, reason: str, rows: int) -> None:
    found = decoded(blob, batch([decision(T0, 9)]))
    assert [(poison.reason, poison.rows, poison.entry.position.sequence) for poison in found.poison] == [
        (reason, rows, 0)
    ]
    assert [dict(tally) for tally in found.tallies] == [{reason: rows}, {"counting": 1}]
    assert len(found.counting) == 1


def test_bad_rows_do_not_take_their_batch_with_them() -> None:
    found = decoded(batch([GOOD, changed(GOOD, kind=7), decision(T0, 2), changed(GOOD, arm="..")]))
    assert dict(found.tallies[0]) == {"counting": 2, "bad_kind": 1, "bad_name": 1}
    assert {poison.reason for poison in found.poison} == {"bad_kind", "bad_name"}


def test_another_schema_is_skipped_and_counted_but_is_no_poison() -> None:
    found = decoded(batch([GOOD, decision(T0, 2)], schema_hash="other"), batch([decision(T0, 4, d=4)], 4, "other"))
    assert found.poison == ()
    assert [dict(tally) for tally in found.tallies] == [{"other_schema": 2}, {"other_schema": 1}]


def test_names_are_found_in_dictionaries_of_any_length() -> None:
    facts, metadata = read_stream(batch([GOOD, decision(T0, 2, category="chairs")]))
    spare = [f"spare-{i}" for i in range(1 << 17)]
    columns = [
        pa.DictionaryArray.from_arrays(
            pa.array(column.indices.to_numpy() + len(spare), pa.int32()), spare + column.dictionary.to_pylist()
        )
        if name in {"category", "policy", "arm", "placement"}
        else column
        for name, column in zip(facts.schema.names, facts.columns, strict=True)
    ]
    found = decoded(write_stream(pa.RecordBatch.from_arrays(columns, schema=facts.schema), metadata))
    plain = decoded(batch([GOOD, decision(T0, 2, category="chairs")]))
    assert names_of(found) == names_of(plain)
    assert names_of(found)[0] == (GOOD.category, GOOD.policy, GOOD.arm, GOOD.placement)


def test_nothing_is_an_answer_too() -> None:
    assert len(decoded().counting) == 0
    assert len(decoded(batch([])).counting) == 0
