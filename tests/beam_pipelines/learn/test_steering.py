"""What shapes packs besides statistics: alpha by category, tags, arms that come and go, seeds of another lineage."""

import numpy as np
import pytest
import redis

from beam_pipelines.learn import Publisher, Steering, warm_start
from beam_pipelines.learn.closing import total
from beam_pipelines.replay.compare import Snapshot, differences_of
from beam_pipelines.replay.state import LineageState
from contracts import (
    InvalidInputError,
    LineageError,
    LineageSettings,
    StatisticsBlob,
    TrafficPolicy,
    decode_statistics,
    encode_statistics,
    keys,
)
from learner import HYBRID, LinUCB, ModelSettings, Statistics, fit_hybrid, tag_vectors
from stores.connect import command
from stores.policy_store import ArmStatus, PolicyStore
from stores.statistics import Delta, StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, SCHEMA, T0, settings_of

SETTINGS = settings_of()
X = np.array([1.0, -0.5, 0.25])


def sums_of(seed: int, arms: tuple[str, ...] = ("oak", "slate")) -> Statistics:
    rng = np.random.default_rng(seed)
    stats = Statistics.zero(3, arms)
    for row in range(len(arms)):
        x = rng.integers(-2048, 2048, (40, 3)) / 1024
        r = (rng.random(40) < 0.3).astype(np.float64)
        stats.n[row], stats.reward[row], stats.moment[row] = 40.0, r.sum(), x.T @ r
        stats.gram[row] = (x.T @ x)[np.triu_indices(3)]
    return stats


def write(store: StatisticsStore, category: str, window: int, sums: Statistics, version: int = 40) -> None:
    blob = StatisticsBlob(
        store.lineage, SCHEMA, version, window, 0, -1, sums.arms, sums.n, sums.reward, sums.gram, sums.moment, {}
    )
    store.put_deltas(category, [Delta(window, 0, version, encode_statistics(blob))])


def pack_of(client: redis.Redis, category: str, lineage: str = LINEAGE) -> LinUCB:
    return LinUCB.from_arrow(command(client, "HGET", keys.pack(category, lineage), "blob"))


def publisher_of(client: redis.Redis, model: ModelSettings, *, max_age_s: float = 0.0) -> Publisher:
    store = StatisticsStore(client, LINEAGE)
    return Publisher(
        store,
        SETTINGS,
        model=model,
        inputs_of=Steering(PolicyStore(client), store, max_age_s=max_age_s).inputs,
    )


@pytest.fixture
def store(redis_client: redis.Redis) -> StatisticsStore:
    found = StatisticsStore(redis_client, LINEAGE)
    found.begin(SETTINGS)
    return found


def test_every_category_has_its_own_alpha(redis_client: redis.Redis, store: StatisticsStore) -> None:
    PolicyStore(redis_client).put(TrafficPolicy(default_alpha=0.2, alpha={"lamps": 0.7}))
    publisher = publisher_of(redis_client, ModelSettings())
    for category in ("lamps", "chairs"):
        write(store, category, T0, sums_of(1))
        publisher.publish_pack(category)
    assert (pack_of(redis_client, "lamps").alpha, pack_of(redis_client, "chairs").alpha) == (0.7, 0.2)


def test_a_hybrid_pack_is_made_with_the_arms_tags(redis_client: redis.Redis, store: StatisticsStore) -> None:
    tags = {"oak": {"surface": "oak"}, "slate": {"surface": "slate"}, "new": {"surface": "oak"}}
    PolicyStore(redis_client).register_arms("lamps", tags)
    write(store, "lamps", T0, sums_of(1))
    publisher_of(redis_client, ModelSettings(HYBRID, shared=(0, 2))).publish_pack("lamps")
    expected = fit_hybrid(sums_of(1), tag_vectors(tags), (0, 2), alpha=0.1)
    found = pack_of(redis_client, "lamps")
    assert found.arms == ("new", "oak", "slate")
    np.testing.assert_array_equal(found.scores(X), expected.scores(X))
    np.testing.assert_array_equal(found.aligned(("unknown",)).scores(X), expected.aligned(("unknown",)).scores(X))


def test_a_prior_reaches_the_pack(redis_client: redis.Redis, store: StatisticsStore) -> None:
    write(store, "lamps", T0, sums_of(1))
    publisher_of(redis_client, ModelSettings(ridge=2.0, prior=9.0)).publish_pack("lamps")
    expected = LinUCB.fit_statistics(sums_of(1), ridge=2.0, prior=9.0)
    found = pack_of(redis_client, "lamps").aligned(("oak", "new"))
    np.testing.assert_array_equal(found.scores(X), expected.aligned(("oak", "new")).scores(X))


def test_paused_and_retired_arms_keep_what_they_have_learned(redis_client: redis.Redis, store: StatisticsStore) -> None:
    publisher = publisher_of(redis_client, ModelSettings())
    write(store, "lamps", T0, sums_of(1, ("oak", "sand", "slate")))
    publisher.publish_pack("lamps")
    before = pack_of(redis_client, "lamps")
    PolicyStore(redis_client).set_arms("lamps", {"oak": ArmStatus("paused"), "sand": ArmStatus("retired")})
    write(store, "lamps", T0 + 10_000, sums_of(2, ("slate",)))
    publisher.publish_pack("lamps")
    after = pack_of(redis_client, "lamps")
    assert after.arms == before.arms == ("oak", "sand", "slate")
    np.testing.assert_array_equal(after.scores(X)[:2], before.scores(X)[:2])
    assert after.scores(X)[2] != before.scores(X)[2]


def test_inputs_are_read_again_only_when_they_are_old(redis_client: redis.Redis, store: StatisticsStore) -> None:
    now = [100.0]
    policies = PolicyStore(redis_client)
    steering = Steering(policies, store, max_age_s=5.0, now_s=lambda: now[0])
    assert steering.inputs("lamps").alpha == 0.1
    policies.put(TrafficPolicy(default_alpha=0.9))
    policies.set_arm("lamps", "oak", ArmStatus("paused", {"surface": "oak"}))
    now[0] += 4.9
    assert (steering.inputs("lamps").alpha, steering.inputs("lamps").tags) == (0.1, {})
    now[0] += 0.1
    assert (steering.inputs("lamps").alpha, steering.inputs("lamps").tags) == (0.9, {"oak": {"surface": "oak"}})


def test_a_damaged_input_keeps_its_value_and_the_others_change(
    redis_client: redis.Redis, store: StatisticsStore
) -> None:
    policies = PolicyStore(redis_client)
    policies.set_arm("lamps", "oak", ArmStatus("active", {"surface": "oak"}))
    steering = Steering(policies, store, max_age_s=0.0)
    assert steering.inputs("lamps").tags == {"oak": {"surface": "oak"}}
    command(redis_client, "HSET", keys.arms("lamps"), "oak", "junk")
    command(redis_client, "SET", keys.seed("lamps", LINEAGE), "junk")
    policies.put(TrafficPolicy(default_alpha=0.9))
    found = steering.inputs("lamps")
    assert (found.alpha, found.tags, found.seed) == (0.9, {"oak": {"surface": "oak"}}, None)
    command(redis_client, "SET", keys.POLICY, "junk")
    assert steering.inputs("lamps").alpha == 0.9


def lend(client: redis.Redis, weight: float, settings: LineageSettings = SETTINGS) -> StatisticsStore:
    """An old lineage with a closed and an open window of lamps, lent to the test's."""
    old = StatisticsStore(client, "old")
    old.begin(settings)
    write(old, "lamps", T0, sums_of(1))
    write(old, "lamps", T0 + 10_000, sums_of(2, ("slate", "tile")))
    base = decode_statistics(old.state("lamps").deltas[keys.delta_field(T0, 0)][1])
    assert old.close("lamps", seen=-1, through=T0, facts=40, base=encode_statistics(base))
    assert warm_start(old, StatisticsStore(client, LINEAGE), weight=weight) == {"lamps": weight * 160.0}
    return old


def test_a_lent_lineage_is_in_the_packs_and_nowhere_else(redis_client: redis.Redis, store: StatisticsStore) -> None:
    lend(redis_client, 0.5)
    lent = sums_of(1).merge(sums_of(2, ("slate", "tile"))).discount(0.5)
    publisher = publisher_of(redis_client, ModelSettings())
    # A category that has nothing of its own yet gets a pack, too, and serving finds it.
    assert store.categories() == ("lamps",)
    assert publisher.publish_pack("lamps")
    np.testing.assert_array_equal(pack_of(redis_client, "lamps").scores(X), LinUCB.fit_statistics(lent).scores(X))
    own = sums_of(3, ("oak", "wool"))
    write(store, "lamps", T0 + 20_000, own)
    assert publisher.publish_pack("lamps")
    found = pack_of(redis_client, "lamps")
    assert found.arms == ("oak", "slate", "tile", "wool")
    np.testing.assert_array_equal(found.scores(X), LinUCB.fit_statistics(own.merge(lent)).scores(X))
    state = store.state("lamps")
    blobs = [decode_statistics(blob) for _, blob in state.deltas.values()]
    np.testing.assert_array_equal(total(blobs, 3).gram, own.gram)
    assert state.base is None
    assert store.facts()["lamps"].total == 40


def test_lending_changes_nothing_that_a_replay_is_compared_with(
    redis_client: redis.Redis, store: StatisticsStore
) -> None:
    lend(redis_client, 1.0)
    stored = Snapshot(T0, {name: store.state(name) for name in store.categories()})
    assert list(differences_of(stored, LineageState(T0, {}, 0, {}))) == []


def test_lending_again_replaces_what_was_lent(redis_client: redis.Redis, store: StatisticsStore) -> None:
    old = lend(redis_client, 1.0)
    publisher = publisher_of(redis_client, ModelSettings())
    assert publisher.publish_pack("lamps")
    warm_start(old, store, weight=0.25)
    assert publisher.publish_pack("lamps")
    lent = sums_of(1).merge(sums_of(2, ("slate", "tile"))).discount(0.25)
    np.testing.assert_array_equal(pack_of(redis_client, "lamps").scores(X), LinUCB.fit_statistics(lent).scores(X))


def test_only_equal_contexts_of_another_lineage_are_lent(redis_client: redis.Redis, store: StatisticsStore) -> None:
    wide = StatisticsStore(redis_client, "wide")
    wide.begin(settings_of(4))
    with pytest.raises(LineageError, match=f"'wide' has contexts of d = 4.*'{LINEAGE}' of d = 3"):
        warm_start(wide, store, weight=0.5)
    with pytest.raises(LineageError, match="lent to itself"):
        warm_start(store, store, weight=0.5)
    with pytest.raises(LineageError, match="'none' does not exist"):
        warm_start(StatisticsStore(redis_client, "none"), store, weight=0.5)


@pytest.mark.parametrize("weight", [0.0, -1.0, 1.5, float("nan")])
def test_a_weight_that_cannot_be_is_refused(redis_client: redis.Redis, store: StatisticsStore, weight: float) -> None:
    with pytest.raises(InvalidInputError, match="weight"):
        warm_start(StatisticsStore(redis_client, "old"), store, weight=weight)
