import json

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from contracts import CreativeRef, FormatError, InvalidInputError, keys
from stores import CreativeIndex, decode_ref, encode_ref
from stores.connect import command
from stores.creative_index import MAX_SIDE_PX, MAX_URL_CHARS

OAK = CreativeRef("ab" * 16, "/media/creatives/ab/oak.png", 300, 250)
SAND = CreativeRef("cd" * 16, "/media/creatives/cd/sand.png", 728, 90)


def test_form_on_the_wire() -> None:
    assert encode_ref(OAK) == b'{"id":"' + b"ab" * 16 + b'","url":"/media/creatives/ab/oak.png","w":300,"h":250}'


@given(st.builds(CreativeRef, st.text(), st.text(min_size=1), st.integers(1, MAX_SIDE_PX), st.integers(1, MAX_SIDE_PX)))
def test_what_is_encoded_is_decoded(ref: CreativeRef) -> None:
    assert decode_ref(encode_ref(ref)) == ref


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"id":"a","url":"b","w":1}',
        b'{"id":1,"url":"b","w":1,"h":1}',
        b'{"id":"a","url":null,"w":1,"h":1}',
        b'{"id":"a","url":"b","w":"1","h":1}',
        b'{"id":"a","url":"b","w":1.5,"h":1}',
        b'{"id":"a","url":"b","w":true,"h":1}',
        b'{"id":"a","url":"b","w":0,"h":1}',
        b'{"id":"a","url":"b","w":1,"h":16385}',
        b'{"id":"a","url":"","w":1,"h":1}',
        b'{"id":"a","url":"' + b"b" * 2049 + b'","w":1,"h":1}',
        b'{"id":"' + b"a" * 257 + b'","url":"b","w":1,"h":1}',
        b'{"id":"a","url":"\\ud800","w":1,"h":1}',
        b'{"id":"\\udfff","url":"b","w":1,"h":1}',
        b"[" * 100_000,
    ],
)
def test_damaged_reference_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="creative reference"):
        decode_ref(data)


@pytest.mark.parametrize(
    "ref",
    [
        CreativeRef("a", "", 1, 1),
        CreativeRef("a", "x" * (MAX_URL_CHARS + 1), 1, 1),
        CreativeRef("a", "x", 0, 1),
        CreativeRef("a", "x", 1, MAX_SIDE_PX + 1),
    ],
)
def test_reference_out_of_range_is_refused(ref: CreativeRef) -> None:
    with pytest.raises(InvalidInputError, match="creative"):
        encode_ref(ref)


def test_published_creatives_are_read(redis_client: redis.Redis) -> None:
    index = CreativeIndex(redis_client)
    assert index.read("sofa-1", "top") == {}
    index.publish("sofa-1", "top", {"oak": OAK})
    index.publish("sofa-1", "top", {"sand": SAND, "oak": OAK})
    index.publish("sofa-1", "feed", {"oak": SAND})
    index.publish("sofa-2", "feed", {})
    assert index.read("sofa-1", "top") == {"oak": OAK, "sand": SAND}
    assert index.read("sofa-1", "feed") == {"oak": SAND}
    assert index.read("sofa-2", "feed") == {}
    stored = command(redis_client, "HGET", keys.creatives("sofa-1", "top"), "oak")
    assert json.loads(stored) == {"id": OAK.creative_id, "url": OAK.url, "w": 300, "h": 250}


def test_many_at_once(redis_client: redis.Redis) -> None:
    index = CreativeIndex(redis_client)
    index.publish_all({(f"item-{n}", "top"): {"oak": OAK, "sand": SAND} for n in range(2500)})
    assert all(len(index.read(f"item-{n}", "top")) == 2 for n in (0, 999, 1000, 2499))


def test_replaced_slots_lose_the_arms_that_are_not_named(redis_client: redis.Redis) -> None:
    index = CreativeIndex(redis_client)
    index.publish_all({(f"item-{n}", "top"): {"oak": OAK, "sand": SAND} for n in range(1500)})
    command(redis_client, "HSET", keys.creatives("item-0", "top"), b"\xff", "junk")
    index.replace_all({(f"item-{n}", "top"): {"oak": SAND} for n in range(1200)} | {("item-1300", "top"): {}})
    assert all(index.read(f"item-{n}", "top") == {"oak": SAND} for n in range(1200))
    assert all(index.read(f"item-{n}", "top") == {"oak": OAK, "sand": SAND} for n in range(1200, 1500))


def test_withdrawn_arms_are_gone(redis_client: redis.Redis) -> None:
    index = CreativeIndex(redis_client)
    index.publish("sofa-1", "top", {"oak": OAK, "sand": SAND})
    assert index.withdraw("sofa-1", "top", ["oak", "other"]) == 1
    assert index.withdraw("sofa-1", "top", []) == 0
    assert index.read("sofa-1", "top") == {"sand": SAND}


def test_bad_names_are_refused_before_anything_is_written(redis_client: redis.Redis) -> None:
    index = CreativeIndex(redis_client)
    for item, placement, arm in (("a:b", "top", "oak"), ("a", "", "oak"), ("a", "top", "o ak")):
        with pytest.raises(InvalidInputError, match="valid name"):
            index.publish_all({("good", "top"): {"oak": OAK}, (item, placement): {arm: OAK}})
    assert command(redis_client, "DBSIZE") == 0


def test_damaged_entry_is_named(redis_client: redis.Redis) -> None:
    command(redis_client, "HSET", keys.creatives("sofa-1", "top"), "oak", "junk")
    with pytest.raises(FormatError, match="junk"):
        CreativeIndex(redis_client).read("sofa-1", "top")
