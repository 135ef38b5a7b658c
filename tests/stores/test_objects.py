import os
import threading
from pathlib import Path

import pytest
from google.cloud.storage import Client

from contracts import InvalidInputError, MissingObjectError, StoreError, UnavailableError
from stores import FileObjectStore, ObjectStore, discard_unfinished, open_objects
from stores.objects import MAX_OBJECT_BYTES, MAX_PATH_CHARS
from stores.objects_gcs import GcsObjectStore
from tests.stores.fake_bucket import FakeBucketServer

BAD_PATHS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../secret",
    "a/../../secret",
    "a/./b",
    "a//b",
    "a/",
    ".hidden",
    "a/.partial/x",
    "a\\b",
    "a b",
    "a\0b",
    "a\nb",
    "%2e%2e/x",
    "é.png",
    "x" * (MAX_PATH_CHARS + 1),
]


class HugeBytes(bytes):
    def __len__(self) -> int:
        return MAX_OBJECT_BYTES + 1


def test_what_is_put_is_there(objects: ObjectStore) -> None:
    assert not objects.exists("a/b.bin")
    assert objects.put_if_absent("a/b.bin", b"\0\xff\r\n--x", "image/png")
    assert objects.exists("a/b.bin")
    assert objects.get("a/b.bin") == b"\0\xff\r\n--x"


def test_first_writer_wins(objects: ObjectStore) -> None:
    assert objects.put_if_absent("a.bin", b"first")
    assert not objects.put_if_absent("a.bin", b"second")
    assert objects.get("a.bin") == b"first"


def test_put_replaces(objects: ObjectStore) -> None:
    objects.put("a.bin", b"first")
    objects.put("a.bin", b"second")
    assert objects.get("a.bin") == b"second"


def test_empty_and_large_objects(objects: ObjectStore) -> None:
    large = os.urandom(3_000_000)
    assert objects.put_if_absent("large", large)
    assert objects.put_if_absent("empty", b"")
    assert objects.get("large") == large
    assert objects.get("empty") == b""


def test_missing_object_is_no_outage(objects: ObjectStore) -> None:
    with pytest.raises(MissingObjectError, match=r"'no/such'.*no such object") as caught:
        objects.get("no/such")
    assert not isinstance(caught.value, UnavailableError)
    assert not objects.exists("no/such")


def test_what_is_removed_is_gone(objects: ObjectStore) -> None:
    objects.put("a/b", b"x")
    objects.put("a/c", b"y")
    for _ in range(2):
        objects.remove("a/b")
        assert list(objects.list()) == ["a/c"]
    assert objects.put_if_absent("a/b", b"z")
    assert objects.get("a/b") == b"z"


def test_list_is_sorted_by_character_and_by_prefix(objects: ObjectStore) -> None:
    names = ["a/1", "a/10", "a/2", "a-b", "a.b", "ab/c/d", "b/1", "a/x/y/z"]
    for name in names:
        objects.put_if_absent(name, b"x")
    assert list(objects.list()) == sorted(names)
    assert list(objects.list("a")) == sorted(name for name in names if name.startswith("a"))
    assert list(objects.list("a/")) == ["a/1", "a/10", "a/2", "a/x/y/z"]
    assert list(objects.list("a/1")) == ["a/1", "a/10"]
    assert list(objects.list("none/")) == []


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad_paths_are_refused(objects: ObjectStore, path: str) -> None:
    for call in (objects.get, objects.exists, objects.url, objects.remove):
        with pytest.raises(InvalidInputError, match="object path"):
            call(path)
    with pytest.raises(InvalidInputError, match="object path"):
        objects.put_if_absent(path, b"x")
    with pytest.raises(InvalidInputError, match="object path"):
        objects.put(path, b"x")


@pytest.mark.parametrize("prefix", ["../", "/", "a/../../", ".partial/"])
def test_list_stays_inside(objects: ObjectStore, prefix: str) -> None:
    if prefix == "/":
        assert list(objects.list(prefix)) == []
    else:
        with pytest.raises(InvalidInputError, match="object path"):
            list(objects.list(prefix))


def test_too_large_object_is_refused(objects: ObjectStore) -> None:
    with pytest.raises(InvalidInputError, match=f"limit is {MAX_OBJECT_BYTES}"):
        objects.put_if_absent("a", HugeBytes())
    assert not objects.exists("a")


def test_url_is_below_the_base(objects: ObjectStore) -> None:
    assert objects.url("creatives/ab/x.png") == "http://127.0.0.1:9/media/creatives/ab/x.png"


def test_one_of_many_writers_wins(objects: ObjectStore) -> None:
    wins: list[bytes] = []
    start = threading.Barrier(8)

    def write(data: bytes) -> None:
        start.wait()
        if objects.put_if_absent("contested/x", data):
            wins.append(data)

    threads = [threading.Thread(target=write, args=(bytes([n]) * 100_000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert objects.get("contested/x") == wins[0]


def test_no_partial_file_stays_or_is_listed(tmp_path: Path) -> None:
    store = FileObjectStore(tmp_path)
    store.put_if_absent("a/b", b"x")
    store.put_if_absent("a/b", b"y")
    (tmp_path / ".partial" / "left-by-a-crash").write_bytes(b"half")
    assert list(store.list()) == ["a/b"]
    assert [path.name for path in (tmp_path / ".partial").iterdir()] == ["left-by-a-crash"]


def test_what_a_killed_group_left_unfinished_can_be_removed(tmp_path: Path) -> None:
    store = FileObjectStore(tmp_path)
    store.put_if_absent("a/b", b"x")
    mine, other = tmp_path / ".partial" / f"{os.getpgrp()}-0", tmp_path / ".partial" / "1-0"
    for path in (mine, other):
        path.write_bytes(b"half")
    discard_unfinished(str(tmp_path), os.getpgrp())
    assert [path.name for path in (tmp_path / ".partial").iterdir()] == ["1-0"]
    discard_unfinished(tmp_path.as_uri(), 1)
    discard_unfinished("gs://bucket/prefix", 1)
    discard_unfinished(str(tmp_path / "nowhere"), 1)
    assert not list((tmp_path / ".partial").iterdir())
    assert store.get("a/b") == b"x"


def test_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    root = tmp_path / "objects"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    store = FileObjectStore(root)
    for call in (store.get, store.exists):
        with pytest.raises(InvalidInputError, match="leads out"):
            call("out/secret")
    assert list(store.list()) == []


def test_unwritable_folder_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "objects").write_bytes(b"a file where the folder should be")
    with pytest.raises(StoreError, match="could not write object 'a'"):
        FileObjectStore(tmp_path / "objects").put("a", b"x")


def test_file_url_without_a_base(tmp_path: Path) -> None:
    assert FileObjectStore(tmp_path).url("a/b.png") == (tmp_path / "a/b.png").as_uri()


def test_public_address_of_a_bucket(bucket_client: Client) -> None:
    store = GcsObjectStore("pictures", "shop", bucket_client)
    assert store.url("a/b.png") == "https://storage.googleapis.com/pictures/shop/a/b.png"
    assert GcsObjectStore("pictures", "", bucket_client).url("b.png").endswith("/pictures/b.png")


def test_bucket_keeps_type_and_prefix(bucket_client: Client, bucket_server: FakeBucketServer) -> None:
    GcsObjectStore("pictures", "shop", bucket_client).put_if_absent("a.png", b"x", "image/png")
    assert bucket_server.objects == {("pictures", "shop/a.png"): (b"x", "image/png")}


def test_bucket_that_comes_back_is_used(bucket_client: Client, bucket_server: FakeBucketServer) -> None:
    store = GcsObjectStore("pictures", "", bucket_client)
    store.put("a", b"x")
    bucket_server.fail_next = 1
    assert store.exists("a")
    bucket_server.fail_next = 1
    assert store.put_if_absent("b", b"y")
    assert store.get("b") == b"y"


def test_bucket_that_stays_away_is_an_outage(bucket_client: Client, bucket_server: FakeBucketServer) -> None:
    store = GcsObjectStore("pictures", "", bucket_client, timeout_s=1.0, retry_s=0.5)
    bucket_server.fail_next = 1_000
    with pytest.raises(UnavailableError, match="the bucket did not answer"):
        store.exists("a")
    bucket_server.fail_next = 1_000
    with pytest.raises(UnavailableError, match="the bucket did not answer"):
        store.put_if_absent("a", b"x")


def test_kinds_of_stores(tmp_path: Path) -> None:
    for uri in (str(tmp_path / "a b"), (tmp_path / "a b").as_uri()):
        store = open_objects(uri)
        assert isinstance(store, FileObjectStore)
        assert store.root == tmp_path / "a b"
    for uri in ("s3://bucket/x", "", "gs://", "file://host/x"):
        with pytest.raises(InvalidInputError, match="not known"):
            open_objects(uri)
