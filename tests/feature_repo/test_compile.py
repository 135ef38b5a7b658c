"""Compiling the registry into the read plan: what comes out, and what is refused."""

import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts import (
    ContextSchema,
    InvalidInputError,
    Numeric,
    ReadPlan,
    SetupError,
    references_of,
)
from feature_repo import ITEM_TEXTS, apply_and_materialize, compile_plan, load_context_schema
from tests.feature_repo.conftest import NOW, REPO
from tests.feature_repo.shop import Shop


def test_the_demos_files_are_written_and_read_back(shop: Shop) -> None:
    assert ReadPlan.from_json((shop.folder / "plan.json").read_bytes()) == shop.plan
    assert ContextSchema.from_json((shop.folder / "context.json").read_bytes()) == shop.schema
    assert shop.schema == load_context_schema(REPO / "context.yaml")
    assert 14 <= shop.schema.d <= 18


def test_the_plan_holds_what_schema_and_serving_need_and_no_more(shop: Shop) -> None:
    assert set(shop.plan.references) == {*shop.schema.features, *ITEM_TEXTS}
    assert shop.plan.project == "backdrop"
    by_role = {entity.role: entity for entity in shop.plan.entities}
    assert list(by_role) == ["user", "item", "placement"]
    assert {role: entity.join_key for role, entity in by_role.items()} == {role: role for role in by_role}
    assert [view.ttl_ms for entity in shop.plan.entities for view in entity.views] == [
        timedelta(days=days) // timedelta(milliseconds=1) for days in (30, 90, 365)
    ]
    assert references_of(by_role["placement"]) == (
        "placement_profile:position",
        "placement_profile:width",
        "placement_profile:height",
    )


def test_compiling_again_gives_the_same_plan(shop: Shop) -> None:
    again = compile_plan(REPO, shop.schema, store_file=shop.store_file)
    assert again.to_json() == shop.plan.to_json()


def test_the_plan_reads_keys_of_other_types(wide_shop: Shop) -> None:
    assert [(entity.join_key, entity.key_type) for entity in wide_shop.plan.entities] == [
        ("user_id", "INT64"),
        ("sku", "STRING"),
        ("slot", "INT32"),
    ]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Numeric("nowhere:x", 0.0, 1.0, 0.5), r"views \['nowhere'\] are not in the feature service"),
        (Numeric("user_profile:age", 0.0, 1.0, 0.5), r"has no features \['age'\]"),
    ],
)
def test_unknown_views_and_features_are_refused(shop: Shop, field: Numeric, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        compile_plan(REPO, ContextSchema((field,)), store_file=shop.store_file)


def test_an_unknown_service_or_registry_is_refused(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="feast apply"):
        compile_plan(REPO, shop.schema, store_file=shop.store_file, service="nothing")
    other = tmp_path / "feature_store.yaml"
    other.write_text(shop.store_file.read_text().replace("registry.db", "other.db"))
    with pytest.raises(SetupError, match="feast apply"):
        compile_plan(REPO, shop.schema, store_file=other)


_HEAD = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast import PushSource
from feast.stream_feature_view import StreamFeatureView
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import (
    Array, Bytes, Decimal, Float32, Float64, ImageBytes, Json, Map, PdfBytes, Set, String, TimeUuid, Uuid,
    ZonedTimestamp,
)

user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
age = Entity(name="item", join_keys=["item"], value_type=ValueType.BYTES)
source = FileSource(name="source", path="/nowhere/rows.parquet", timestamp_field="event_timestamp")


def view(name, entities, dtype=Float32, **more):
    return FeatureView(name=name, entities=entities, ttl=timedelta(days=1), source=source,
                       schema=[Field(name="x", dtype=dtype)], **more)


def of_type(dtype):
    name = f"type_{dtype}".replace("(", "_").replace(")", "").lower()
    made = view(name, [user], dtype)
    return made, FeatureService(name=name, features=[made])


plain = view("plain", [user])
lists = view("lists", [user], Array(Float32))
pair = view("pair", [user, shop])
stranger = view("stranger", [shop])
offline = view("offline", [user], online=False)
bytes_key = view("bytes_key", [age])
everyone = view("everyone", [])


@on_demand_feature_view(sources=[plain], schema=[Field(name="x", dtype=Float64)], mode="python")
def computed(inputs):
    return {"x": [1.0 for _ in inputs["x"]]}


view_map, service_map = of_type(Map)
view_json, service_json = of_type(Json)
view_bytes, service_bytes_type = of_type(Bytes)
view_pdf, service_pdf = of_type(PdfBytes)
view_image, service_image = of_type(ImageBytes)
view_uuid, service_uuid = of_type(Uuid)
view_time_uuid, service_time_uuid = of_type(TimeUuid)
view_decimal, service_decimal = of_type(Decimal)
view_zoned, service_zoned = of_type(ZonedTimestamp)
view_set, service_set = of_type(Set(String))
service_everyone = FeatureService(name="everyone", features=[everyone])
pinned = view("pinned", [user], version="v0")
streamed = StreamFeatureView(
    name="streamed", entities=[user], ttl=timedelta(days=1), schema=[Field(name="x", dtype=Float32)],
    source=PushSource(name="pushed", batch_source=source),
)
service_pinned = FeatureService(name="pinned", features=[pinned])
service_streamed = FeatureService(name="streamed", features=[streamed])
service_computed = FeatureService(name="computed", features=[computed])
forever = FeatureView(name="forever", entities=[user], ttl=timedelta(0), source=source,
                      schema=[Field(name="x", dtype=Float32)])
service_plain = FeatureService(name="plain", features=[plain, forever])
service_lists = FeatureService(name="lists", features=[lists])
service_pair = FeatureService(name="pair", features=[pair])
service_stranger = FeatureService(name="stranger", features=[stranger])
service_offline = FeatureService(name="offline", features=[offline])
service_bytes = FeatureService(name="bytes_key", features=[bytes_key])
service_alias = FeatureService(name="alias", features=[plain.with_name("other")])
service_mapped = FeatureService(name="mapped", features=[plain.with_join_key_map({"user": "buyer"})])
"""


@pytest.fixture(scope="module")
def odd_repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A registered repository of views that the reader cannot read."""
    from feast.repo_config import load_repo_config
    from feast.repo_operations import apply_total

    repo = tmp_path_factory.mktemp("odd")
    (repo / "odd_definitions.py").write_text(_HEAD)
    (repo / "feature_store.yaml").write_text(
        "project: odd\nprovider: local\nregistry: registry.db\noffline_store: {type: duckdb}\n"
        "online_store: {type: redis}\nentity_key_serialization_version: 3\n"
    )
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(repo)
        patch.syspath_prepend(str(repo))
        apply_total(load_repo_config(repo, repo / "feature_store.yaml"), repo, skip_source_validation=True)
        yield repo


def _odd(repo: Path, service: str, view: str) -> ReadPlan:
    schema = ContextSchema((Numeric(f"{view}:x", 0.0, 1.0, 0.5),))
    return compile_plan(repo, schema, service=service, item_texts=())


def test_a_ttl_of_zero_means_never_stale(odd_repo: Path) -> None:
    (entity,) = _odd(odd_repo, "plain", "forever").entities
    assert [view.ttl_ms for view in entity.views] == [0]


@pytest.mark.parametrize(
    ("service", "view", "words"),
    [
        ("lists", "lists", "lists:x of type FLOAT_LIST"),
        ("type_map", "type_map", "type_map:x of type MAP"),
        ("type_json", "type_json", "type_json:x of type JSON"),
        ("type_bytes", "type_bytes", "type_bytes:x of type BYTES"),
        ("type_pdfbytes", "type_pdfbytes", "x of type PDF_BYTES"),
        ("type_imagebytes", "type_imagebytes", "x of type IMAGE_BYTES"),
        ("type_uuid", "type_uuid", "type_uuid:x of type UUID"),
        ("type_timeuuid", "type_timeuuid", "x of type TIME_UUID"),
        ("type_decimal", "type_decimal", "x of type DECIMAL"),
        ("type_zonedtimestamp", "type_zonedtimestamp", "x of type ZONED_TIMESTAMP"),
        ("type_set_string", "type_set_string", "x of type STRING_SET"),
        ("everyone", "everyone", r"view everyone has entities \[\]"),
        ("computed", "computed", r"view computed, needed for \['x'\], is a OnDemandFeatureView"),
        ("pinned", "pinned", "view pinned is pinned to version 0"),
        ("streamed", "streamed", r"view streamed, needed for \['x'\], is a StreamFeatureView"),
        ("pair", "pair", "exactly one of"),
        ("stranger", "stranger", "exactly one of"),
        ("offline", "offline", "not online"),
        ("bytes_key", "bytes_key", "view bytes_key has the join key item of type BYTES"),
        ("alias", "plain", r"view plain is aliased .*\(other\)"),
        ("mapped", "plain", "mapped join keys"),
    ],
)
def test_what_the_reader_cannot_read_is_refused(odd_repo: Path, service: str, view: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        _odd(odd_repo, service, view)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("type: redis", "type: sqlite"), "reads redis"),
        (
            lambda text: text.replace(
                "registry: registry.db", "registry: {path: registry.db, enable_online_feature_view_versioning: true}"
            ),
            "versioned views",
        ),
    ],
)
def test_stores_that_the_reader_cannot_read_are_refused(
    odd_repo: Path, tmp_path: Path, change: Callable[[str], str], words: str
) -> None:
    store_file = tmp_path / "feature_store.yaml"
    store_file.write_text(change((odd_repo / "feature_store.yaml").read_text()))
    schema = ContextSchema((Numeric("plain:x", 0.0, 1.0, 0.5),))
    with pytest.raises(InvalidInputError, match=words):
        compile_plan(odd_repo, schema, store_file=store_file, service="plain", item_texts=())


def test_missing_data_and_redis_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"could not be loaded into Redis at 127\.0\.0\.1: ") as refused:
        apply_and_materialize(
            REPO,
            redis_url="redis://:hidden@127.0.0.1:1/0",
            features_dir=tmp_path / "nothing",
            registry_path=tmp_path / "registry.db",
            now=NOW,
        )
    assert "hidden" not in str(refused.value)


def test_a_bad_context_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "context.yaml"
    for text in ("version: 1\nfields: [{kind: magic}]", "fields: [", "- 1", "\x00"):
        path.write_text(text)
        with pytest.raises(InvalidInputError, match=r"context\.yaml"):
            load_context_schema(path)
    with pytest.raises(InvalidInputError, match=r"none\.yaml"):
        load_context_schema(tmp_path / "none.yaml")
