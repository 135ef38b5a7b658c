import redis

from stores import Delta, PackHead, RecordView, RedisEventLog, StatisticsStore
from stores.connect import command
from tests.beam_pipelines.facts import LINEAGE, settings_of


def test_an_empty_redis_answers_every_question(redis_client: redis.Redis) -> None:
    view = RecordView(redis_client, LINEAGE)
    assert view.pack_heads(["lamps"]) == {}
    assert view.pack("lamps") is None
    assert view.open_windows(["lamps"]) == ()
    assert view.memory_bytes(["lamps"]) == view.memory_bytes([]) == {"base": 0, "deltas": 0, "pack": 0}


def test_what_is_stored_is_told(redis_client: redis.Redis) -> None:
    store, view = StatisticsStore(redis_client, LINEAGE), RecordView(redis_client, LINEAGE)
    store.begin(settings_of())
    store.put_deltas("lamps", [Delta(200, 0, 2, b"x" * 1000), Delta(100, 0, 1, b"x")])
    store.put_deltas("chairs", [Delta(100, 1, 1, b"x")])
    before = RedisEventLog(redis_client).clock_ms()
    store.put_pack("lamps", 2, b"pack")
    (head,) = view.pack_heads(["chairs", "lamps"]).values()
    assert head.generation == 2
    assert before <= head.written_ms <= RedisEventLog(redis_client).clock_ms()
    assert view.pack("lamps") == b"pack"
    assert view.open_windows(["lamps", "chairs"]) == (100, 200)
    memory = view.memory_bytes(["lamps", "chairs"])
    assert memory["base"] == 0
    assert memory["deltas"] > 1000
    assert memory["pack"] > 0


def test_a_pack_of_an_earlier_version_has_no_known_time(redis_client: redis.Redis) -> None:
    store, view = StatisticsStore(redis_client, LINEAGE), RecordView(redis_client, LINEAGE)
    store.put_pack("lamps", 2, b"pack")
    command(redis_client, "HDEL", f"bd:{{lamps}}:{LINEAGE}:pack", "written_ms")
    assert view.pack_heads(["lamps"]) == {"lamps": PackHead(2, -1)}
