"""Stored formats do not change by accident: files written once are read for ever."""

import numpy as np
import pytest

from contracts import CLICK, IMPRESSION, FormatError, decode_facts, decode_pack, decode_statistics
from learner import LinUCB
from tests.golden.examples import DECISION_MS, FACTS, FOLDER, PACK, PACK_WITH_FRESH, STATISTICS, D, blobs


def test_facts() -> None:
    batch = decode_facts((FOLDER / "facts-1.arrows").read_bytes())
    assert (len(batch), batch.d, batch.schema_hash, batch.lineage) == (2, D, "feedfacefeedface", "main")
    assert batch.integers("kind").tolist() == [IMPRESSION, CLICK]
    assert batch.integers("event_ms").tolist() == [DECISION_MS, DECISION_MS + 1_500]
    assert [row.tobytes() for row in batch.ids()] == [fact.decision_id for fact in FACTS]
    assert batch.contexts().tolist() == [[1024, -512]] * 2
    assert batch.rows.column("eligible").to_pylist() == [["oak-morning", "slate-night"]] * 2
    for name in ("user", "item", "category", "arm", "creative", "placement", "policy", "propensity"):
        assert batch.rows.column(name).to_pylist() == [getattr(fact, name) for fact in FACTS]


def test_statistics() -> None:
    found = decode_statistics((FOLDER / "statistics-1.arrows").read_bytes())
    for name in ("lineage", "schema_hash", "version", "window", "shard", "through", "arms", "counts"):
        assert getattr(found, name) == getattr(STATISTICS, name)
    for name in ("n", "reward", "gram", "moment"):
        np.testing.assert_array_equal(getattr(found, name), getattr(STATISTICS, name))


def test_pack() -> None:
    data = (FOLDER / "pack-1.arrows").read_bytes()
    found = decode_pack(data)
    for name in ("lineage", "schema_hash", "generation", "alpha", "ridge", "arms"):
        assert getattr(found, name) == getattr(PACK, name)
    np.testing.assert_array_equal(found.theta, PACK.theta)
    np.testing.assert_array_equal(found.inverse, PACK.inverse)
    assert found.theta.dtype == np.float32
    assert LinUCB.from_arrow(data).to_arrow() == blobs()["pack-1.arrows"]


def test_pack_with_a_row_for_new_arms() -> None:
    data = (FOLDER / "pack-1-fresh.arrows").read_bytes()
    model = LinUCB.from_arrow(data)
    assert model.arms == PACK.arms
    assert model.fresh is not None
    np.testing.assert_array_equal(model.fresh.theta, PACK_WITH_FRESH.theta[2])
    np.testing.assert_array_equal(model.fresh.inverse, PACK_WITH_FRESH.inverse[2])
    np.testing.assert_array_equal(model.theta, PACK.theta)
    assert model.to_arrow() == data


@pytest.mark.parametrize("name", sorted(blobs()))
def test_what_is_written_today_is_what_was_written_then(name: str) -> None:
    assert (FOLDER / name).read_bytes() == blobs()[name]


@pytest.mark.parametrize(
    ("name", "decode"), [("statistics-1.arrows", decode_statistics), ("pack-1.arrows", decode_pack)]
)
def test_damage_is_noticed(name: str, decode: object) -> None:
    data = (FOLDER / name).read_bytes()
    assert callable(decode)
    for damaged in (b"", data[:-30], data + b"more", data.replace(b"/1", b"/2", 1)):
        with pytest.raises(FormatError):
            decode(damaged)
