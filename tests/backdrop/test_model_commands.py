"""Commands of an operator on a real Redis: what was learned, arm by arm, in numbers that the facts bear out."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from typer.testing import CliRunner, Result

from backdrop.cli import app
from contracts import (
    LINUCB,
    CreativeRef,
    FormatError,
    InvalidInputError,
    LineageError,
    TrafficPolicy,
    UnavailableError,
    keys,
)
from learner import LinUCB, wilson
from serving.choice import ServedPack, choose_arm, eligible_arms
from serving.refresh import PolicyTable
from stores import (
    ArmStatus,
    AsyncPolicyStore,
    DeadLetters,
    EmbeddedRedis,
    PolicyStore,
    RecordView,
    RedisEventLog,
    StatisticsStore,
    connect_async,
)
from stores.child import choose_port
from stores.connect import command
from tests.backdrop.model_world import SCHEMA, SETTINGS, WATERMARK_MS, learn, tell
from tests.beam_pipelines.facts import LINEAGE


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: EmbeddedRedis) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKDROP_REDIS_URL", redis_server.url)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"NO_COLOR": "1"})


def said(*words: str) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def as_json(*words: str) -> Any:
    return json.loads(said(*words, "--json"))


def test_models_tells_what_the_facts_tell(redis_client: redis.Redis) -> None:
    told, appended = tell(["lamps", "chairs", "chairs"])
    learn(redis_client, appended)
    found = as_json("models")
    assert (found["head"]["lineage"], found["head"]["state"], found["head"]["categories"]) == (LINEAGE, "active", 2)
    assert found["head"]["low_watermark_ms"] == WATERMARK_MS
    assert (found["head"]["learner_ms"], found["more"]) == (-1, 0)
    assert [row["category"] for row in found["rows"]] == ["chairs", "lamps"]
    for row in found["rows"]:
        facts = [fact for fact in told.shown if fact.category == row["category"]]
        shown, clicks = len(facts), told.clicks(facts)
        low, high = wilson(clicks, shown)
        assert row["rate"] == {"shown": shown, "clicks": clicks, "ctr": clicks / shown, "low": low, "high": high}
        assert (row["arms"], row["facts"], row["damage"]) == (len({fact.arm for fact in facts}), shown + clicks, [])
        # The bound of the window from 20 s on is at 55 s, that of the next one behind the watermark.
        assert row["closed_ms"] == WATERMARK_MS - 30_000
        assert row["waiting"] == 0
        assert 0 <= row["pack_age_ms"] < 60_000
    opened = [fact for fact in told.shown if fact.decision_ms >= WATERMARK_MS - 30_000]
    share = sum(fact.category == "lamps" for fact in opened) / len(opened)
    assert found["rows"][1]["share"] == pytest.approx(share)


def test_models_for_people(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps", "chairs"])[1])
    StatisticsStore(redis_client, LINEAGE).put_status({"updated_ms": RedisEventLog(redis_client).clock_ms(), "pid": 77})
    text = said("models")
    assert f"lineage {LINEAGE} (active), schema {SCHEMA.hash}, 2 categories" in text
    assert "low watermark 2023-11-14 22:14:20 UTC: nothing waits" in text
    assert re.search(r"learner: alive, last heard of 0\.\d s ago, pid 77", text)
    assert re.search(
        r"^ +lamps +3 +40 +\d+ +\d+\.\d\d% +\d.*% +\d\d\.\d% +\d+ +0\.\d s +2023-11-14 22:13:50", text, re.M
    )


def test_models_shows_the_largest_categories_and_says_how_many_more(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["a", "b", "b", "c", "c", "c"], each=10)[1])
    found = as_json("models", "--limit", "2")
    assert ([row["category"] for row in found["rows"]], found["more"]) == (["b", "c"], 1)
    assert "and 1 smaller categories: --limit 0 shows them all" in said("models", "--limit", "2")
    assert len(as_json("models", "--limit", "0")["rows"]) == 3


def test_another_lineage_is_shown_when_it_is_named(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps"])[1])
    learn(redis_client, tell(["chairs"])[1], lineage="next")
    assert [row["category"] for row in as_json("models")["rows"]] == ["lamps"]
    found = as_json("models", "--lineage", "next")
    assert ([row["category"] for row in found["rows"]], found["head"]["state"]) == (["chairs"], "following")
    assert "lineage next (following)" in said("models", "--lineage", "next")


def test_a_learner_that_has_counted_nothing_is_no_error(redis_client: redis.Redis) -> None:
    StatisticsStore(redis_client, LINEAGE).begin(SETTINGS)
    text = said("models")
    assert "low watermark: none yet" in text
    assert "learner: never seen" in text
    assert "no statistics yet" in text
    assert as_json("models")["rows"] == []


def test_a_learner_that_has_fallen_silent_is_told(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps"])[1])
    now_ms = RedisEventLog(redis_client).clock_ms()
    StatisticsStore(redis_client, LINEAGE).put_status({"updated_ms": now_ms - 240_000, "pid": 77})
    assert "learner: silent for 4 min, pid 77" in said("models")


@pytest.mark.parametrize(
    ("words", "kind", "named"),
    [
        (("models",), LineageError, "no lineage is served"),
        (("models", "--lineage", "gone"), LineageError, "lineage 'gone' does not exist"),
        (("inspect", "lamps"), LineageError, "no lineage is served"),
        (("arm", "pause", "lamps", "oak"), InvalidInputError, r"arm 'oak' .* is not known \(known: none\)"),
        (("arm", "pause", "two words", "oak"), InvalidInputError, "valid name"),
        (("tune", "lamps"), InvalidInputError, "nothing to change"),
        (("tune", "{}", "--alpha", "1"), InvalidInputError, "valid name"),
        (("models", "--redis", f"redis://127.0.0.1:{choose_port()}/0"), UnavailableError, "Redis did not answer"),
    ],
)
def test_an_empty_redis_and_mistakes_give_a_sentence(
    words: tuple[str, ...], kind: type[Exception], named: str, redis_client: redis.Redis
) -> None:
    result = invoke(*words)
    assert isinstance(result.exception, kind), (result.output, result.exception)
    assert re.search(named, str(result.exception))


def test_damaged_blobs_are_named_and_the_rest_is_shown(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps", "chairs", "beds"])[1])
    command(redis_client, "SET", keys.base("lamps", LINEAGE), b"junk")
    field = next(iter(StatisticsStore(redis_client, LINEAGE).state("chairs").deltas))
    command(redis_client, "HSET", keys.deltas("chairs", LINEAGE), field, b"")
    command(redis_client, "HSET", keys.pack("chairs", LINEAGE), "blob", b"PACK")
    rows = {row["category"]: row for row in as_json("models")["rows"]}
    assert [damage.partition(":")[0] for damage in rows["lamps"]["damage"]] == ["base"]
    assert [re.sub(r" \d.*", "", damage) for damage in rows["chairs"]["damage"]] == ["delta", "pack: blob of"]
    assert rows["beds"]["damage"] == []
    assert rows["beds"]["rate"]["shown"] == 40
    assert 0 < rows["lamps"]["rate"]["shown"] < 40
    text = said("models")
    assert "damaged: lamps: base: blob of 4 bytes is not an Arrow stream" in text
    assert f"damaged: chairs: delta {field}: " in text
    assert "damaged: pack: blob of 4 bytes" in said("inspect", "chairs")
    assert [damage.partition(":")[0] for damage in as_json("inspect", "lamps")["damage"]] == ["base"]


def test_inspect_tells_each_arm_as_the_facts_do(redis_client: redis.Redis, tmp_path: Path) -> None:
    told, appended = tell(["lamps"], each=200)
    learn(redis_client, appended)
    PolicyStore(redis_client).set_arm("lamps", "arm-1", ArmStatus("paused", {"light": "[warm]"}))
    PolicyStore(redis_client).set_arm("lamps", "unseen", ArmStatus())
    compiled = tmp_path / ".backdrop/features/context.json"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(SCHEMA.to_json())
    found = as_json("inspect", "lamps")
    contexts = {fact.decision_id: np.frombuffer(fact.context, "<i2") / 1024 for fact in told.shown}
    average = np.mean(list(contexts.values()), axis=0)
    assert [name for name, _ in found["average_context"]] == list(SCHEMA.names)
    np.testing.assert_allclose([value for _, value in found["average_context"]], average, rtol=1e-12)
    assert [arm["arm"] for arm in found["arms"]] == ["arm-0", "arm-1", "arm-2", "unseen"]
    assert [arm["status"] for arm in found["arms"]] == ["active", "paused", "active", "active"]
    assert found["arms"][1]["tags"] == {"light": "[warm]"}
    by_linucb = [fact for fact in told.shown if fact.policy == LINUCB]
    for arm in found["arms"]:
        facts = told.of("lamps", arm["arm"])
        x = np.array([contexts[fact.decision_id] for fact in facts]).reshape(-1, SCHEMA.d)
        clicked = np.array([fact.decision_id in told.clicked for fact in facts], dtype=float)
        a = np.eye(SCHEMA.d) + x.T @ x
        theta = np.linalg.solve(a, x.T @ clicked)
        assert (arm["rate"]["shown"], arm["rate"]["clicks"]) == (len(facts), clicked.sum())
        assert arm["share"] == pytest.approx(sum(fact.arm == arm["arm"] for fact in by_linucb) / len(by_linucb))
        assert arm["mean"] == pytest.approx(theta @ average, abs=1e-6)
        assert arm["width"] == pytest.approx(np.sqrt(average @ np.linalg.solve(a, average)), rel=1e-5)
        assert arm["condition"] == pytest.approx(np.linalg.cond(a), rel=1e-9)
        assert 0.99 < arm["headroom"] <= 1.0
        weights = dict(arm["raising"] + arm["lowering"])
        assert weights == pytest.approx({SCHEMA.names[i]: theta[i] for i in range(4) if theta[i]}, abs=1e-6)
        assert all(value > 0 for _, value in arm["raising"])
        assert all(value < 0 for _, value in arm["lowering"])
    rows = {(row["policy"], row["placement"]): row["rate"] for row in found["counts"]}
    assert set(rows) == {(fact.policy, fact.placement) for fact in told.shown}
    for (policy, placement), rate in rows.items():
        own = [fact for fact in told.shown if (fact.policy, fact.placement) == (policy, placement)]
        assert (rate["shown"], rate["clicks"]) == (len(own), told.clicks(own))
    text = said("inspect", "lamps")
    assert f"category lamps: pack of generation {found['generation']}, alpha 0.1" in text
    assert "user:device=tablet[old]" in text
    assert "light [warm]" in text


def test_inspect_without_a_compiled_schema_numbers_the_entries(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps"])[1])
    found = as_json("inspect", "lamps")
    assert [name for name, _ in found["average_context"]] == ["x[0]", "x[1]", "x[2]", "x[3]"]


def test_inspect_without_a_pack_fits_what_is_stored(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps"])[1])
    served = as_json("inspect", "lamps")
    command(redis_client, "DEL", keys.pack("lamps", LINEAGE))
    fitted = as_json("inspect", "lamps")
    assert "no pack, fitted now" in said("inspect", "lamps")
    for mine, theirs in zip(fitted["arms"], served["arms"], strict=True):
        assert (mine["mean"], mine["width"]) == pytest.approx((theirs["mean"], theirs["width"]), rel=1e-4)


def test_inspect_of_arms_that_were_never_shown(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps"])[1])
    PolicyStore(redis_client).set_arm("beds", "oak", ArmStatus())
    (arm,) = as_json("inspect", "beds")["arms"]
    assert (arm["arm"], arm["rate"]["shown"], arm["mean"], arm["share"]) == ("oak", 0, None, None)
    assert "expected rates are not known" in said("inspect", "beds")
    result = invoke("inspect", "sofas")
    assert isinstance(result.exception, InvalidInputError)
    assert "lineage 'test' knows lamps" in str(result.exception)


async def chosen_arms(url: str, category: str, pack: bytes) -> set[str]:
    """Arms that a server chooses among all of a category's, by a fresh look at the policy store."""
    client = connect_async(url, timeout_s=5.0)
    table = PolicyTable(AsyncPolicyStore(client))
    table.want(category)
    await table.refresh()
    await client.aclose()
    model = LinUCB.from_arrow(pack)
    creatives = {arm: CreativeRef(arm, f"/{arm}.jpg", 10, 10) for arm in model.arms}
    eligible = eligible_arms(creatives, table.inactive(category), include_original=False)
    context = np.array([1024, 0, 1024, 0], dtype=np.int16)
    return {
        choose_arm(
            LINUCB,
            eligible,
            context,
            ServedPack(model, 0),
            schema_hash=SCHEMA.hash,
            alpha=table.traffic.alpha_of(category),
            epsilon=table.traffic.epsilon_of(category),
            key=number.to_bytes(4, "big"),
        ).arm
        for number in range(200)
    }


async def test_an_arm_rests_and_comes_back_and_keeps_its_statistics(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    learn(redis_client, tell(["lamps"])[1])
    store, everything = StatisticsStore(redis_client, LINEAGE), {"arm-0", "arm-1", "arm-2"}
    PolicyStore(redis_client).set_arm("lamps", "arm-1", ArmStatus("active", {"light": "warm"}))
    pack = RecordView(redis_client, LINEAGE).pack("lamps")
    assert pack is not None
    assert "lamps has alpha 0.1, epsilon 1" in said("tune", "lamps", "--epsilon", "1")
    before = store.state("lamps")
    assert await chosen_arms(redis_server.url, "lamps", pack) == everything
    assert said("arm", "pause", "lamps", "arm-1") == "lamps/arm-1: active -> paused\n"
    assert await chosen_arms(redis_server.url, "lamps", pack) == {"arm-0", "arm-2"}
    assert said("arm", "resume", "lamps", "arm-1") == "lamps/arm-1: paused -> active\n"
    assert await chosen_arms(redis_server.url, "lamps", pack) == everything
    assert said("arm", "retire", "lamps", "arm-1") == "lamps/arm-1: active -> retired\n"
    assert await chosen_arms(redis_server.url, "lamps", pack) == {"arm-0", "arm-2"}
    assert PolicyStore(redis_client).arms("lamps")["arm-1"] == ArmStatus("retired", {"light": "warm"})
    assert store.state("lamps") == before
    # Whatever is still shown of it is learned like any other: its statistics go on.
    command(redis_client, "FLUSHALL")
    PolicyStore(redis_client).set_arm("lamps", "arm-1", ArmStatus("retired"))
    learn(redis_client, tell(["lamps"], seed=2)[1])
    again = RecordView(redis_client, LINEAGE).pack("lamps")
    assert again is not None
    assert "arm-1" in LinUCB.from_arrow(again).arms


def test_an_arm_nobody_knows_is_taken_only_on_purpose(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps"])[1])
    result = invoke("arm", "pause", "lamps", "arm-9")
    assert isinstance(result.exception, InvalidInputError)
    assert "(known: arm-0, arm-1, arm-2)" in str(result.exception)
    assert PolicyStore(redis_client).arms("lamps") == {}
    assert said("arm", "pause", "lamps", "arm-9", "--new") == "lamps/arm-9: active -> paused\n"
    assert invoke("arm", "delete", "lamps", "arm-9").exit_code == 2


def test_tune_overrides_one_category_and_can_be_taken_back(redis_client: redis.Redis) -> None:
    store = PolicyStore(redis_client)
    store.put(TrafficPolicy(version=3, alpha={"beds": 0.9}))
    assert said("tune", "lamps", "--alpha", "0.5") == "version 4: lamps has alpha 0.5, epsilon 0\n"
    assert said("tune", "lamps", "--epsilon", "0.02") == "version 5: lamps has alpha 0.5, epsilon 0.02\n"
    assert said("tune", "lamps", "--reset", "--alpha", "0.7") == "version 6: lamps has alpha 0.7, epsilon 0\n"
    after = store.get()
    assert (dict(after.alpha), dict(after.epsilon)) == ({"beds": 0.9, "lamps": 0.7}, {})
    assert said("tune", "lamps", "--reset") == "version 7: lamps has alpha 0.1, epsilon 0\n"
    for words in (("--alpha", "-1"), ("--epsilon", "1.5"), ("--alpha", "nan")):
        assert invoke("tune", "lamps", *words).exit_code == 2
    assert store.get().version == 7


def test_dead_letters_are_counted_and_the_latest_shown(redis_client: redis.Redis) -> None:
    assert said("dead-letters") == "no dead letters\n"
    letters = DeadLetters(redis_client)
    for number in range(3):
        place = {"partition": 3, "position": "5-0", "rows": 1}
        letters.put("learn", "bad_name", {"detail": f"first in row {number}: category '[red]'", **place}, b"xy")
    letters.put("learn", "undecodable", {"detail": "cut short"})
    found = as_json("dead-letters", "--limit", "2")
    assert found["counts"] == {"bad_name": 3, "undecodable": 1}
    assert [(letter["reason"], letter["blob_bytes"]) for letter in found["letters"]] == [
        ("undecodable", 0),
        ("bad_name", 2),
    ]
    text = said("dead-letters")
    assert re.search(r"bad_name +3\b", text)
    assert "first in row 2: category '[red]' (partition 3, 5-0)" in text
    assert '{"detail": "cut short"}' in text
    assert "first in row" not in said("dead-letters", "--limit", "0")


def test_a_damaged_arm_status_is_a_sentence(redis_client: redis.Redis) -> None:
    learn(redis_client, tell(["lamps"])[1])
    command(redis_client, "HSET", keys.arms("lamps"), "arm-0", b"junk")
    assert isinstance(invoke("inspect", "lamps").exception, FormatError)
