"""No train/serve skew, the whole way: a real server decides, its token comes back as a fact, and the fact's context is
the training frame's for the same decision, bit for bit."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts import ORIGIN, CreativeRef, decode_facts
from feature_repo import (
    add_stats,
    apply_and_materialize,
    compile_features,
    historical_contexts,
    load_aggregates,
    load_context_schema,
    stats_schemas,
    write_profiles,
)
from stores import CreativeIndex, EmbeddedRedis, RedisEventLog, connect, open_objects, read_archive, write_archive
from tests.feature_repo import profiles
from tests.feature_repo.conftest import REPO
from tests.serving.world import PARTITIONS, ServerProcess, facts_in_log, wait_until

USERS = [*(f"u{number}" for number in range(0, profiles.USERS, 3)), "stranger", "Ünïcode ☃"]
ITEMS = [*(f"i{number}" for number in range(profiles.ITEMS)), "nothing"]
SLOTS = [*(name for name, *_ in profiles.PLACEMENTS), "nowhere"]
AGGREGATES = load_aggregates(REPO / "aggregates.yaml")


def stats_rows(view: str, at: datetime, seed: int) -> pa.Table:
    """Rows of an aggregation as of ``at``, some values of which are null or not numbers."""
    schema, rng = stats_schemas(AGGREGATES)[view], np.random.default_rng(seed)
    names = {"user": USERS[::2], "item": ITEMS[::2], "placement": SLOTS[:2]}[schema.names[0]]
    columns: list[pa.Array] = [pa.array(names, pa.string())]
    for field in list(schema)[1:-1]:
        values: list[Any] = [
            float(value) if pa.types.is_floating(field.type) else int(value * 1e6)
            for value in rng.random(len(names)) * 0.3
        ]
        values[seed % len(names)] = None
        columns.append(pa.array(values, field.type))
    columns.append(pa.array([at] * len(names), schema.field("event_timestamp").type))
    return pa.Table.from_arrays(columns, schema=schema)


class Site:
    """A shop that lives now: its Parquet, its Redis, its server."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder, self.url = folder, redis_url
        self.store_file = folder / "feature_store.yaml"
        self.schema = load_context_schema(REPO / "context_stats.yaml")
        self.tables = profiles.tables(datetime.now(UTC) - timedelta(seconds=5))

    def load(self) -> None:
        """Write the profiles and load all."""
        write_profiles(
            self.folder,
            users=self.tables["user"],
            items=self.tables["item"],
            placements=self.tables["placement"],
        )
        apply_and_materialize(
            REPO,
            redis_url=self.url,
            features_dir=self.folder,
            registry_path=self.folder / "registry.db",
            now=datetime.now(UTC),
        )

    def update(self, seed: int) -> None:
        """A second later: another aggregation, and new rows of some users beside their old ones."""
        # Feast's own resolution aside, an event time must not be that of an earlier decision.
        time.sleep(0.01)
        at = datetime.now(UTC)
        for view, schema in stats_schemas(AGGREGATES).items():
            add_stats(self.folder / f"{view}.parquet", schema, [stats_rows(view, at, seed)], as_of=at)
        users = self.tables["user"]
        some = users.take(list(range(seed, len(users), 4)))
        for name, values in (
            ("event_timestamp", pa.array([at] * len(some), some.schema.field("event_timestamp").type)),
            ("price_affinity", pa.array([0.25 + seed / 10] * len(some), pa.float32())),
        ):
            some = some.set_column(some.schema.get_field_index(name), name, values)
        self.tables["user"] = pa.concat_tables([users, some])
        self.load()


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with EmbeddedRedis(tmp_path_factory.mktemp("skew-redis")) as server:
        site = Site(tmp_path / "features", server.url)
        site.load()
        compile_features(
            REPO,
            store_file=site.store_file,
            context_path=REPO / "context_stats.yaml",
            plan_path=site.folder / "plan.json",
            schema_path=site.folder / "context.json",
        )
        client = connect(server.url)
        index = CreativeIndex(client)
        for item in ITEMS[:-1]:
            for slot in SLOTS[:-1]:
                refs = {arm: CreativeRef(f"{item}.{arm}", "/media/x.png", 10, 10) for arm in ("oak", "tile")}
                index.publish(item, slot, refs)
        client.close()
        yield site


def ask(server: ServerProcess, users: Sequence[str], first: int) -> int:
    """Each user looks at every item; returns how many decisions were made, and has all of them shown."""
    made = 0
    for number, user in enumerate(users, first):
        items = [{"id": item, "image_url": "https://shop.example/p.jpg"} for item in ITEMS]
        reply = server.post("/v1/decide", {"user": user, "placement": SLOTS[number % len(SLOTS)], "items": items})
        assert reply.status == 200, reply
        for decided in reply.json()["decisions"]:
            assert server.get(decided["impression_url"]).status == 200
            made += 1
    return made


@pytest.mark.slow
def test_what_was_served_is_what_is_trained_on(site: Site, tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", site.url)
    for name, compiled in (("plan.json", "plan.json"), ("schema.json", "context.json")):
        (server.folder / name).write_bytes((site.folder / compiled).read_bytes())
    made = 0
    with server:
        for round_number in range(3):
            if round_number:
                site.update(round_number)
            made += ask(server, USERS, round_number)
        wait_until(lambda: len(facts_in_log(site.url)) == made, f"{made} facts are in the log")
    # From the archive, as training reads them: the log's own bytes.
    log, objects = RedisEventLog(connect(site.url), PARTITIONS), open_objects(str(tmp_path / "objects"))
    rows: list[dict[str, Any]] = []
    for partition in range(PARTITIONS):
        write_archive(objects, log.read(partition, ORIGIN, 100_000).entries, after=ORIGIN)
        for entry in read_archive(objects, partition, ORIGIN):
            batch = decode_facts(entry.blob)
            assert batch.schema_hash == site.schema.hash
            rows += batch.rows.to_pylist()
    assert len(rows) == made == 3 * len(USERS) * len(ITEMS)
    served = np.array([row["context"] for row in rows], dtype=np.int16)
    frame = pd.DataFrame(rows)[["user", "item", "placement"]].assign(
        event_timestamp=pd.to_datetime([row["decision_ms"] for row in rows], unit="ms", utc=True)
    )
    trained = historical_contexts(REPO, site.schema, frame, store_file=site.store_file)
    differing = np.flatnonzero((served != trained).any(axis=1))
    assert not len(differing), json.dumps(frame.iloc[differing[0]].to_dict(), default=str)
    assert_the_cases_occurred(site, rows, served)


def assert_the_cases_occurred(site: Site, rows: list[dict[str, Any]], served: np.ndarray[Any, Any]) -> None:
    """Unknown and stale entities, and the same entities with other features after each update."""
    contexts = {(row["user"], row["item"], row["placement"], row["decision_ms"]) for row in rows}
    assert {user for user, *_ in contexts} == set(USERS)
    by_user: dict[str, set[bytes]] = {}
    place = [site.schema.names.index(name) for name in ("user_profile:price_affinity", "log user_stats:ctr")]
    for row, context in zip(rows, served, strict=True):
        by_user.setdefault(row["user"], set()).add(context[place].tobytes())
    changes = [len(found) for found in by_user.values()]
    assert max(changes) == 3
    # Of the users beyond their age limit, and of those whom no view knows.
    device = served[:, site.schema.names.index("user_profile:device=mobile")]
    old = {f"u{number}" for number in range(profiles.USERS) if number % len(profiles.AGES_USER) > 0}
    assert not device[[row["user"] in old and len(by_user[row["user"]]) == 1 for row in rows]].any()
    assert not device[[row["user"] == "Ünïcode ☃" for row in rows]].any()
    assert device.any()
    has = served[:, site.schema.names.index("has user_stats:ctr")]
    assert {0, 1024} == set(has.tolist())
    assert len(np.unique(served, axis=0)) > 300
