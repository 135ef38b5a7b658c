"""Publishing on a real Redis: restarts, two learners at once, datasets gone back; in the end, the replay."""

import random
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.learn.closing import PackInputs
from beam_pipelines.learn.decode import decode_entries
from beam_pipelines.learn.fold import WindowState, delta, fold
from beam_pipelines.learn.publication import Publication
from beam_pipelines.learn.publisher import Publisher
from beam_pipelines.learn.route import ShardWindow, route
from beam_pipelines.replay import Snapshot, differences_of, replay
from contracts import FormatError, LineageError, LineageSettings, LogEntry, encode_statistics, keys
from learner import LinUCB, ModelSettings
from stores.connect import command
from stores.statistics import StatisticsStore
from tests.beam_pipelines.facts import LINEAGE, T0, click_on, decision, entries_of, settings_of

SETTINGS = settings_of(gamma=0.9)


def publisher_of(store: StatisticsStore, settings: LineageSettings = SETTINGS) -> Publisher:
    return Publisher(store, settings, model=ModelSettings(), inputs_of=lambda _: PackInputs(alpha=0.25))


class Learner:
    """What the Beam job does, without Beam: folds entries, publishes at random moments, closes what is due."""

    def __init__(self, store: StatisticsStore) -> None:
        self._publisher = publisher_of(store)
        self._open: dict[ShardWindow, WindowState] = {}

    def take(self, entries: list[LogEntry]) -> None:
        for place, facts in route(decode_entries(entries, SETTINGS).counting, SETTINGS).items():
            self._open[place] = fold(self._open.get(place, WindowState.zero(SETTINGS.d)), facts).state

    def publish(self) -> None:
        for category, found in self._publications(list(self._open), final=False):
            self._publisher.put(category, [found])
            self._publisher.publish_pack(category)

    def pass_watermark(self, watermark_ms: int) -> None:
        due = [place for place in self._open if SETTINGS.bound_ms(place.window) <= watermark_ms]
        finals: dict[str, list[Publication]] = {}
        for category, found in self._publications(due, final=True):
            finals.setdefault(category, []).append(found)
        for place in due:
            del self._open[place]
        for category, publications in finals.items():
            self._publisher.put(category, publications)
            self._publisher.close(category, publications)
            self._publisher.publish_pack(category)

    def _publications(self, places: list[ShardWindow], *, final: bool) -> Iterator[tuple[str, Publication]]:
        for place in places:
            for category in self._open[place].facts:
                blob = delta(
                    self._open[place],
                    category,
                    settings=SETTINGS,
                    lineage=LINEAGE,
                    window=place.window,
                    shard=place.shard,
                )
                yield (
                    category,
                    Publication(place.window, place.shard, blob.version, 0, final, encode_statistics(blob)),
                )


def log_of(seed: int) -> list[LogEntry]:
    rng = random.Random(seed)
    facts = []
    for i in range(60):
        at = T0 + rng.randrange(0, 60_000)
        shown = decision(at, seed * 1000 + i, category=rng.choice(("lamps", "chairs", "chairs")))
        facts.append((at + rng.randrange(0, 30_000), [shown]))
        if rng.random() < 0.4:
            facts.append((at + rng.randrange(0, 30_000), [click_on(shown, at + 100)]))
    return entries_of(facts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.integers(0, 10_000), st.lists(st.sampled_from(("publish", "restart", "second")), max_size=12))
def test_restarts_and_second_learners_change_nothing(
    redis_client: redis.Redis, seed: int, happenings: list[str]
) -> None:
    command(redis_client, "FLUSHALL")
    store = StatisticsStore(redis_client, LINEAGE)
    entries = log_of(seed)
    rng = random.Random(seed)
    learners = [Learner(store)]
    taken, low_ms = 0, 0
    for happening in [*happenings, "end"]:
        upto = len(entries) if happening == "end" else rng.randrange(taken, len(entries) + 1)
        for learner in learners:
            learner.take(entries[taken:upto])
        taken = upto
        if happening == "publish":
            low_ms = entries[taken - 1].append_ms if taken else 0
            for learner in learners:
                learner.publish()
                learner.pass_watermark(low_ms)
        elif happening in {"restart", "second"}:
            fresh = Learner(store)
            fresh.take([entry for entry in entries[:taken] if entry.append_ms > SETTINGS.restart_ms(low_ms)])
            learners = [fresh] if happening == "restart" else [*learners[-1:], fresh]
    watermark_ms = entries[-1].append_ms + 1
    for learner in learners:
        learner.publish()
        learner.pass_watermark(watermark_ms)
    stored = Snapshot(watermark_ms, {name: store.state(name) for name in store.categories()})
    replayed = replay(entries, SETTINGS, lineage=LINEAGE, watermark_ms=watermark_ms)
    assert list(differences_of(stored, replayed)) == []
    assert sum(found.total for found in store.facts().values()) == replayed.facts


def final_of(seed: int, window: int = T0) -> Publication:
    facts = decode_entries(entries_of([(window + 10, [decision(window, seed)])]), SETTINGS).counting
    state = fold(WindowState.zero(SETTINGS.d), facts).state
    blob = delta(state, "lamps", settings=SETTINGS, lineage=LINEAGE, window=window, shard=0)
    return Publication(window, 0, blob.version, window + 35_000, True, encode_statistics(blob))


def test_a_dataset_gone_back_is_noticed(redis_client: redis.Redis) -> None:
    store = StatisticsStore(redis_client, LINEAGE)
    publisher = publisher_of(store)
    publisher.close("lamps", [final_of(1)])
    publisher.close("lamps", [final_of(1)])
    command(redis_client, "FLUSHALL")
    with pytest.raises(LineageError, match="older dataset"):
        publisher.put("lamps", [final_of(2, T0 + 10_000)])
    with pytest.raises(LineageError, match="older dataset"):
        publisher.close("lamps", [final_of(2, T0 + 10_000)])
    with pytest.raises(LineageError, match="older dataset"):
        publisher.publish_pack("lamps")


def test_a_pack_is_made_of_base_and_open_deltas(redis_client: redis.Redis) -> None:
    store = StatisticsStore(redis_client, LINEAGE)
    publisher = publisher_of(store)
    assert not publisher.publish_pack("lamps")
    publisher.close("lamps", [final_of(1)])
    publisher.put("lamps", [final_of(2, T0 + 10_000)])
    assert publisher.publish_pack("lamps")
    assert not publisher.publish_pack("lamps")
    blob = command(redis_client, "HGET", keys.pack("lamps", LINEAGE), "blob")
    pack = LinUCB.from_arrow(blob)
    assert (pack.alpha, pack.ridge, pack.lineage, pack.generation) == (0.25, 1.0, LINEAGE, 2)
    assert pack.schema_hash == SETTINGS.schema_hash
    arms = {decision(T0, 1).arm, decision(T0 + 10_000, 2).arm}
    assert set(pack.arms) == arms


def test_damaged_publications_are_refused() -> None:
    data = final_of(1).encode()
    assert Publication.decode(data) == final_of(1)
    for damaged in (b"", data[:10], b"XXXX" + data[4:]):
        with pytest.raises(FormatError):
            Publication.decode(damaged)
