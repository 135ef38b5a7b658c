import json

import pytest
import redis

from contracts import InvalidInputError
from stores import DeadLetters
from stores.dead_letters import MAX_BLOB_BYTES, MAX_DETAIL_CHARS


def test_letters_are_kept_newest_first_and_counted(redis_client: redis.Redis) -> None:
    letters = DeadLetters(redis_client)
    assert letters.latest() == []
    assert letters.count_by_reason() == {}
    letters.put("generate", "truncated_image", {"item": "sofa-1", "bytes": 17}, b"\xff\xd8")
    letters.put("generate", "nan_price", {"item": "sofa-2"})
    letters.put("learn", "nan_price", {})
    found = letters.latest()
    assert [(letter.source, letter.reason) for letter in found] == [
        ("learn", "nan_price"),
        ("generate", "nan_price"),
        ("generate", "truncated_image"),
    ]
    assert json.loads(found[-1].detail) == {"item": "sofa-1", "bytes": 17}
    assert (found[-1].blob, found[-1].blob_bytes) == (b"\xff\xd8", 2)
    assert letters.count_by_reason() == {"nan_price": 2, "truncated_image": 1}
    assert letters.count_by_reason("generate") == {"nan_price": 1, "truncated_image": 1}
    assert letters.latest(1) == found[:1]


def test_counts_outlive_letters(redis_client: redis.Redis) -> None:
    letters = DeadLetters(redis_client, maxlen=10)
    for _ in range(500):
        letters.put("learn", "bad", {})
    assert len(letters.latest(1000)) < 500
    assert letters.count_by_reason() == {"bad": 500}


def test_long_blobs_and_details_are_cut_and_odd_values_are_told(redis_client: redis.Redis) -> None:
    letters = DeadLetters(redis_client)
    letters.put("learn", "bad", {"text": "x" * 10 * MAX_DETAIL_CHARS}, b"y" * (MAX_BLOB_BYTES + 5))
    letters.put("learn", "bad", {"error": ValueError("odd"), "lone": "\ud800"})
    newest, oldest = letters.latest()
    assert len(oldest.detail) == MAX_DETAIL_CHARS
    assert (len(oldest.blob), oldest.blob_bytes) == (MAX_BLOB_BYTES, MAX_BLOB_BYTES + 5)
    assert json.loads(newest.detail) == {"error": "odd", "lone": "?"}


def test_bad_names_are_refused(redis_client: redis.Redis) -> None:
    letters = DeadLetters(redis_client)
    for source, reason in (("a:b", "x"), ("a", "two words"), ("", "x")):
        with pytest.raises(InvalidInputError, match="valid name"):
            letters.put(source, reason, {})
    with pytest.raises(InvalidInputError, match="maxlen = 0"):
        DeadLetters(redis_client, 0)
    assert letters.latest() == []
