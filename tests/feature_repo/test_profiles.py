from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts import InvalidInputError, SetupError
from feature_repo import (
    PROFILE_SCHEMAS,
    connection_string,
    load_aggregates,
    stats_schemas,
    write_profiles,
    write_store_config,
)
from tests.feature_repo import profiles
from tests.feature_repo.conftest import NOW, REPO


def write(folder: Path, **changes: pa.Table) -> None:
    tables = {**profiles.tables(NOW), **changes}
    write_profiles(folder, users=tables["user"], items=tables["item"], placements=tables["placement"])


def test_profiles_are_written_in_the_types_of_the_views(tmp_path: Path) -> None:
    write(tmp_path / "new" / "folder")
    for view, schema in PROFILE_SCHEMAS.items():
        table = pq.read_table(tmp_path / "new" / "folder" / f"{view}.parquet")
        assert table.schema.equals(schema)
        assert table.num_rows
    assert {path.suffix for path in (tmp_path / "new" / "folder").iterdir()} == {".parquet"}


def test_the_schemas_are_those_of_the_definitions() -> None:
    from feature_repo import definitions

    kinds = {"STRING": pa.string(), "FLOAT": pa.float32(), "INT64": pa.int64()}
    stats = stats_schemas(load_aggregates(REPO / "aggregates.yaml"))
    for view, schema in {**PROFILE_SCHEMAS, **stats}.items():
        fields = getattr(definitions, view).schema
        offered = {field.name: kinds[field.dtype.to_value_type().name] for field in fields}
        wanted = dict(zip(schema.names[1:-1], schema.types[1:-1], strict=True))
        assert {name: offered[name] for name in wanted} == wanted
        assert set(offered) - {schema.names[0]} == set(wanted)


def test_bad_tables_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    good = profiles.tables(NOW)["placement"]
    for table, words in (
        (good.drop_columns(["width"]), r"has no columns \['width'\]"),
        (good.set_column(1, "width", pa.array(["wide"] * len(good))), "cannot be cast"),
        (good.set_column(0, "placement", pa.array(["a", None, "b"])), "1 rows without placement"),
        (pa.concat_tables([good, good.slice(1, 1)]), "1 entities with several rows of one time, such as .*'square'"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            write(tmp_path / "out", placement=table)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be written"):
        write(tmp_path / "file")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6380/2", "localhost:6380,db=2"),
        ("redis://cache", "cache:6379,db=0"),
        ("rediss://u:p%40ss@cache:1/0", "cache:1,db=0,username=u,password=p@ss,ssl=true"),
        ("redis://:123@cache:1/0", 'cache:1,db=0,password="123"'),
        ("redis://cache:1?db=4", "cache:1,db=4"),
    ],
)
def test_connection_strings_are_read_by_feast_as_meant(url: str, expected: str) -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore

    assert connection_string(url) == expected
    _, read = RedisOnlineStore._parse_connection_string(expected)
    assert read.get("password") in {None, "p@ss", "123"}


@pytest.mark.parametrize(
    "url", ["", "localhost:6379", "unix:///tmp/r", "redis://h:port", "redis://h/x", "redis://:a,b@h"]
)
def test_urls_that_feast_cannot_be_told_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError):
        connection_string(url)


def test_store_files_keep_everything_else(tmp_path: Path) -> None:
    path = write_store_config(REPO, redis_url="redis://h:1/0", registry_path=tmp_path / "deep" / "registry.db")
    text = path.read_text()
    assert path == tmp_path / "deep" / "feature_store.yaml"
    for words in ("h:1,db=0", str(tmp_path / "deep" / "registry.db"), "online_write_batch_size: 5000", "duckdb"):
        assert words in text
    with pytest.raises(InvalidInputError, match="expands"):
        write_store_config(REPO, redis_url="redis://:a$b@h:1/0", registry_path=tmp_path / "registry.db")
    with pytest.raises(SetupError, match=r"feature_store\.yaml"):
        write_store_config(tmp_path / "nothing", redis_url="redis://h:1/0", registry_path=tmp_path / "registry.db")
