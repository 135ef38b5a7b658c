from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts import LINUCB, ORIGINAL, RANDOM, FormatError, InvalidInputError, StoreError, TrafficPolicy, keys
from stores import ArmStatus, AsyncPolicyStore, EmbeddedRedis, PolicyStore, connect_async
from stores.connect import command

THIRD = TrafficPolicy(version=3, split={ORIGINAL: 0.2, RANDOM: 0.3, LINUCB: 0.5}, epsilon={"sofas": 0.1})


def test_default_policy_until_one_is_put(redis_client: redis.Redis) -> None:
    assert PolicyStore(redis_client).get() == TrafficPolicy(version=0)


def test_policy_put_is_in_force(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    store.put(THIRD)
    assert store.get() == THIRD
    store.put(TrafficPolicy(version=1))
    assert store.get() == TrafficPolicy(version=1)


def test_only_the_version_seen_is_replaced(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    store.put(TrafficPolicy(version=1), replacing=store.get().version)
    store.put(TrafficPolicy(version=2), replacing=1)
    with pytest.raises(StoreError, match="version 2 is in force, not 1"):
        store.put(THIRD, replacing=1)
    with pytest.raises(StoreError, match="version 2 is in force, not 0"):
        store.put(THIRD, replacing=0)
    assert store.get().version == 2


@pytest.mark.parametrize("data", [b"", b"junk", b"[]", b'{"split":["original"]}', b'{"alpha":[1]}', b'{"new":1}'])
def test_damaged_policy_is_refused(redis_client: redis.Redis, data: bytes) -> None:
    command(redis_client, "SET", keys.POLICY, data)
    with pytest.raises(InvalidInputError):
        PolicyStore(redis_client).get()


@given(
    arms=st.dictionaries(
        st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True),
        st.builds(
            ArmStatus,
            st.sampled_from(["active", "paused", "retired"]),
            st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4),
        ),
        max_size=5,
    )
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arms_come_back_as_written(redis_client: redis.Redis, arms: Mapping[str, ArmStatus]) -> None:
    command(redis_client, "FLUSHALL")
    store = PolicyStore(redis_client)
    store.set_arms("sofas", arms)
    assert store.arms("sofas") == arms
    assert store.arms("lamps") == {}


def test_one_arm_changes_and_others_stay(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    oak = ArmStatus("active", {"surface": "oak"})
    store.set_arms("sofas", {"oak": oak, "sand": ArmStatus()})
    store.set_arm("sofas", "sand", ArmStatus("paused"))
    assert store.arms("sofas") == {"oak": oak, "sand": ArmStatus("paused")}


def test_registering_tags_leaves_every_status_as_the_operator_set_it(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    store.set_arms("sofas", {"oak": ArmStatus("paused", {"surface": "pine"}), "sand": ArmStatus("retired")})
    tags = {"oak": {"surface": "oak", "mood": 'cal"m'}, "new": {"surface": "tile"}, "bare": {}}
    store.register_arms("sofas", tags)
    expected = {
        "oak": ArmStatus("paused", tags["oak"]),
        "sand": ArmStatus("retired"),
        "new": ArmStatus("active", tags["new"]),
        "bare": ArmStatus(),
    }
    assert store.arms("sofas") == expected
    store.register_arms("sofas", tags)
    assert store.arms("sofas") == expected
    store.register_arms("lamps", {})
    assert store.arms("lamps") == {}


@pytest.mark.parametrize("data", ["junk", "[]", "7", "{}", '{"status":1}'])
def test_a_damaged_arm_is_named_and_the_others_are_registered(redis_client: redis.Redis, data: str) -> None:
    store = PolicyStore(redis_client)
    command(redis_client, "HSET", keys.arms("sofas"), "oak", data)
    with pytest.raises(FormatError, match=r"\['oak'\] of 'sofas' is damaged"):
        store.register_arms("sofas", {"oak": {}, "sand": {"surface": "sand"}})
    assert command(redis_client, "HGET", keys.arms("sofas"), "oak") == data.encode()
    command(redis_client, "HDEL", keys.arms("sofas"), "oak")
    assert store.arms("sofas") == {"sand": ArmStatus("active", {"surface": "sand"})}


def test_an_arm_registered_while_it_is_paused_stays_paused(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(50):
            store.set_arm("sofas", "oak", ArmStatus())
            waiting = [
                pool.submit(store.register_arms, "sofas", {"oak": {"surface": "oak"}}),
                pool.submit(store.set_arm, "sofas", "oak", ArmStatus("paused")),
            ]
            for each in waiting:
                each.result()
            assert store.arms("sofas")["oak"].status == "paused"


def test_bad_names_and_statuses_are_refused(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    with pytest.raises(InvalidInputError, match="valid name"):
        store.set_arm("sofas", "a b", ArmStatus())
    with pytest.raises(InvalidInputError, match="valid name"):
        store.arms("so}fas")
    command(redis_client, "HSET", keys.arms("sofas"), "oak", '{"status":"gone","tags":{}}')
    with pytest.raises(FormatError, match="gone"):
        store.arms("sofas")


@pytest.mark.parametrize("data", ["", "junk", "[]", "{}", '{"status":"active","tags":1}', '{"status":"active"}'])
def test_damaged_arm_is_refused(redis_client: redis.Redis, data: str) -> None:
    command(redis_client, "HSET", keys.arms("sofas"), "oak", data)
    with pytest.raises(FormatError, match="arm status"):
        PolicyStore(redis_client).arms("sofas")


def test_a_damaged_arm_name_is_refused(redis_client: redis.Redis) -> None:
    command(redis_client, "HSET", keys.arms("sofas"), b"\xff", '{"status":"active","tags":{}}')
    with pytest.raises(FormatError, match="arm name"):
        PolicyStore(redis_client).arms("sofas")


async def test_async_reader_reads_the_same(redis_server: EmbeddedRedis, redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    client = connect_async(redis_server.url, timeout_s=5.0)
    reader = AsyncPolicyStore(client)
    assert await reader.get() == TrafficPolicy(version=0)
    store.put(THIRD)
    store.set_arm("sofas", "oak", ArmStatus("paused", {"surface": "oak"}))
    assert await reader.get() == THIRD
    assert await reader.arms("sofas") == store.arms("sofas")
    command(redis_client, "HSET", keys.arms("chairs"), "oak", "{")
    sofas, chairs, lamps = await reader.arms_of(["sofas", "chairs", "lamps"])
    assert (sofas, lamps) == (store.arms("sofas"), {})
    assert isinstance(chairs, FormatError)
    await client.aclose()


def test_a_change_is_the_next_version_or_nothing(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    assert store.change(lambda policy: replace(policy, default_alpha=0.5)).version == 1
    after = store.change(lambda policy: replace(policy, epsilon={"sofas": 0.1}))
    assert (after.version, after.default_alpha, after.epsilon_of("sofas")) == (2, 0.5, 0.1)
    assert store.get() == after

    def meanwhile(policy: TrafficPolicy) -> TrafficPolicy:
        store.put(THIRD, replacing=2)
        return policy

    with pytest.raises(StoreError, match="version 3 is in force, not 2"):
        store.change(meanwhile)
    with pytest.raises(InvalidInputError, match="epsilon = 2"):
        store.change(lambda policy: replace(policy, epsilon={"sofas": 2.0}))
    assert store.get() == THIRD
