"""Small things: creatives' ids, keys, positions, clocks, errors."""

import dataclasses
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

import contracts
from contracts import (
    ORIGIN,
    BackdropError,
    CreativeSpec,
    ManualClock,
    Position,
    SystemClock,
    keys,
)

SPEC = CreativeSpec(
    "i", "c", "a", "p", 300, 250, "0" * 64, "text", "negative", (("light", "soft"),), "procedural", "r1"
)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(CreativeSpec)])
def test_a_creatives_id_changes_with_every_field(field: str) -> None:
    old = getattr(SPEC, field)
    new = old + 1 if isinstance(old, int) else (*old, ("x", "y")) if isinstance(old, tuple) else f"{old}x"
    changed = CreativeSpec(**{**{f.name: getattr(SPEC, f.name) for f in dataclasses.fields(SPEC)}, field: new})
    assert changed.creative_id != SPEC.creative_id
    assert changed.seed() != SPEC.seed()


def test_a_creatives_id_and_seed_are_pinned() -> None:
    # Pictures of earlier runs are found by these.
    assert SPEC.creative_id == "c4a3c79903b6011e5b35d2cddbd31698"
    assert SPEC.seed() == 3232402696259018686
    assert len({SPEC.seed(attempt) for attempt in range(20)}) == 20
    assert all(0 <= SPEC.seed(attempt) < 2**63 for attempt in range(20))


def test_only_the_original_arm_is_original() -> None:
    assert not SPEC.is_original
    assert dataclasses.replace(SPEC, arm="original").is_original


def test_a_categorys_keys_share_a_cluster_slot() -> None:
    for make in (keys.base, keys.deltas, keys.versions, keys.generation, keys.pack):
        assert make("shoes", "main").startswith("bd:{shoes}:main:")
    assert keys.arms("shoes") == "bd:{shoes}:arms"


def test_keys_are_those_of_the_design() -> None:
    assert keys.creatives("i", "p") == "bd:creatives:i:p"
    assert keys.events(3) == "bd:events:3"
    assert keys.delta_field(300_000, 2) == "300000:2"
    assert keys.creative_object("abcd", "jpg") == "creatives/ab/abcd.jpg"
    assert keys.archive_object(1, "5-0", "9-2") == "archive/1/5-0_9-2.parquet"


@given(st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53))
def test_positions_read_as_written_and_sort_as_the_log_does(a: int, b: int, c: int, d: int) -> None:
    one, other = Position(a, b), Position(c, d)
    assert Position.parse(str(one)) == one
    assert (one < other) == ((a, b) < (c, d))
    assert one >= ORIGIN


def test_clocks() -> None:
    clock = ManualClock(10)
    clock.advance(5)
    clock.advance(-1)
    assert clock.now_ms() == 14
    assert SystemClock().now_ms() > 1_700_000_000_000


def test_every_public_error_is_a_backdrop_error() -> None:
    errors = [each for each in vars(contracts).values() if inspect.isclass(each) and issubclass(each, Exception)]
    assert errors
    assert all(issubclass(each, BackdropError) for each in errors)


def test_every_public_name_is_there() -> None:
    assert [name for name in contracts.__all__ if not hasattr(contracts, name)] == []
