"""Damaged bytes in Redis: packs, features, creatives, arms and the traffic split."""

import random
import time
from contextlib import closing
from functools import partial

import numpy as np

from contracts import PackBlob, encode_pack, keys, packed_length
from stores.connect import command, connect
from tests.chaos_serve.place import Fault, Place, stock
from tests.serving.world import ITEMS, LINEAGE, PLACEMENTS, SCHEMA, put_pack, wait_until

GOOD_REF = b'{"id":"c","url":"/c.png","w":1,"h":1}'
MENDED_EVERY = 50
NASTY = (
    b"",
    b"\x00",
    b"\xff" * 40,
    b"[" * 20_000,
    b'{"a":' * 5_000,
    b"null",
    b"1e999",
    b'{"id":"\\ud800","url":"/x","w":1,"h":1}',
    b'{"id":"a","url":"\\ud800","w":1,"h":1}',
    b'{"id":"a","url":"/x","w":' + b"9" * 40 + b',"h":1}',
    b'{"id":"a","url":"/x","w":-1,"h":0}',
    b'{"id":"a","url":"' + b"x" * 70_000 + b'","w":1,"h":1}',
    b'{"id":"' + b"i" * 70_000 + b'","url":"/x","w":1,"h":1}',
    b'{"id":["a"],"url":{},"w":true,"h":null}',
    b'{"status":"paused","tags":[1]}',
    b'{"status":"gone","tags":{}}',
    b'{"split":{"linucb":1e400},"salt":[]}',
    b'{"split":{"original":"all"}}',
    b"\x12\xff\xff\xff\xff\x0f",
    b"\x29\x00\x00\x00\x00\x00\x00\xf8\x7f",
    b"\x29\xff\xff\xff\xff\xff\xff\xef\x7f",
    b"\x20" + b"\xff" * 12,
)


def damaged(good: bytes, rng: random.Random) -> bytes:
    """Other bytes than ``good``: some of it, more than it, or nothing like it."""
    data = bytearray(good or b"\x00")
    match rng.randrange(6):
        case 0:
            return rng.choice(NASTY)
        case 1:
            return rng.randbytes(rng.randrange(60))
        case 2:
            return bytes(data[: rng.randrange(len(data) + 1)])
        case 3:
            return bytes(data) + rng.randbytes(rng.randrange(1, 9))
        case 4:
            for _ in range(rng.randrange(1, 5)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            return bytes(data)
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def a_pack(
    *, d: int = SCHEMA.d, value: float = 0.1, ridge: float = 1.0, lineage: str = LINEAGE, generation: int
) -> bytes:
    """A pack of these numbers."""
    theta = np.full((2, d), value, np.float32)
    inverse = np.full((2, packed_length(d)), value, np.float32)
    return encode_pack(PackBlob(lineage, SCHEMA.hash, generation, 0.1, ridge, ("oak", "tile"), theta, inverse))


def packs(place: Place, flipped: int = 60) -> str:
    """Packs that cannot be served, in the place of a good one and in categories of their own."""
    run = partial(command, connect(place.redis.url))
    rng = random.Random(7)
    place.until_well()
    held = place.server.decide("ann", "sofa-1")["model"]["generation"]
    good = a_pack(generation=99)
    kinds: dict[str, bytes] = {
        "random bytes": rng.randbytes(500),
        "nothing": b"",
        "cut": good[: len(good) // 2],
        "another d, same schema": a_pack(d=SCHEMA.d + 3, generation=99),
        "NaN": a_pack(value=float("nan"), generation=99),
        "infinite": a_pack(value=float("inf"), generation=99),
        "next to infinite": a_pack(value=3e38, generation=99),
        "no ridge": a_pack(ridge=0.0, generation=99),
        "another lineage": a_pack(lineage="other", generation=99),
    }
    refused = '{outcome="malformed"}'
    for number, (name, blob) in enumerate(kinds.items()):
        before = place.counter("pack_refreshes", refused)
        run("HSET", keys.pack("sofas", LINEAGE), "generation", 99 + number, "blob", blob)
        wait_until(lambda at=before: place.counter("pack_refreshes", refused) > at, f"{name} is refused")  # type: ignore[misc]
        assert place.server.decide("ann", "sofa-1")["model"]["generation"] == held, name
    before = place.counter("pack_refreshes", refused)
    run("HSET", keys.pack("sofas", LINEAGE), "generation", "soon", "blob", good)
    categories = [f"bad-{number}" for number in range(flipped)]
    for category in categories:
        run("HSET", keys.pack(category, LINEAGE), "generation", 1, "blob", damaged(good, rng))
    run("SET", keys.pack("a-text", LINEAGE), "no hash")
    names: list[str | bytes] = [*categories, "a-text", b"\xff\xfe", b"no name {}"]
    run("SADD", keys.lineage_categories(LINEAGE), *names)
    wait_until(lambda: place.counter("pack_refreshes", refused) > before + flipped // 2, "all are looked at")
    with closing(connect(place.redis.url)) as client:
        put_pack(client, "lamps", "oak", 7)
    wait_until(lambda: place.server.decide("ann", "lamp-1")["model"]["generation"] == 7, "good packs still arrive")
    assert place.server.decide("ann", "sofa-1")["model"]["generation"] == held
    seen = place.counter("pack_refreshes", refused)
    run("DEL", *(keys.pack(category, LINEAGE) for category in (*categories, "a-text")))
    run("SREM", keys.lineage_categories(LINEAGE), *names)
    stock(place.redis.url)
    place.until_well()
    tried = f"{len(kinds)} kinds and {flipped} damaged ones"
    return f"{tried}: refused ({seen:.0f} times, counted), the last good one stays; others arrive"


def announcements(place: Place) -> str:
    """Words on the channel of new packs that are none."""
    run = partial(command, connect(place.redis.url))
    place.until_well()
    for words in NASTY:
        run("PUBLISH", keys.MODELS_CHANNEL, words)
    time.sleep(0.5)
    heard = run("PUBSUB NUMSUB", keys.MODELS_CHANNEL)[0][1]
    assert heard >= 1, "nobody listens any more"
    return f"{len(NASTY)} of them: taken as news, the server listens on"


def values(place: Place, rounds: int = 150) -> str:
    """Damaged features, creatives, arms and splits."""
    run = partial(command, connect(place.redis.url))
    rng = random.Random(11)
    hashes = [key for key in sorted(run("KEYS", "*")) if run("TYPE", key) == b"hash" and b":pack" not in key]
    good = {key: run("HGETALL", key) for key in hashes}
    split = run("GET", keys.POLICY)
    asked = {"user": "ann", "placement": "story", "items": [{"id": item} for item in ITEMS]}
    flags: set[str] = set()
    for number in range(rounds):
        if number % MENDED_EVERY == MENDED_EVERY - 1:
            # With nothing whole left of an item and its placement, both are unknown.
            run("DEL", *hashes)
            stock(place.redis.url)
        key = rng.choice(hashes)
        field = rng.choice(list(good[key]))
        run("HSET", key, field, damaged(good[key][field], rng))
        if number % 5 == 0:
            run(
                "HSET",
                keys.arms(rng.choice(("sofas", "lamps"))),
                rng.randbytes(4),
                damaged(b'{"status":"active"}', rng),
            )
            run("SET", keys.POLICY, damaged(split, rng))
        if number % 7 == 0:
            item, placement = rng.choice(list(ITEMS)), rng.choice(list(PLACEMENTS))
            run("HSET", keys.creatives(item, placement), rng.randbytes(rng.randrange(1, 300)), GOOD_REF)
        reply = place.server.post("/v1/decide", asked)
        assert reply.status == 200, (number, key, field, run("HGET", key, field), reply)
        flags.update(*(decision["flags"] for decision in reply.json()["decisions"]))
        for decision in reply.json()["decisions"]:
            assert place.server.get(decision["click_url"]).status in {204, 302} if decision["click_url"] else True
    left_out = place.counter("damaged_values")
    assert left_out > 0
    run("DEL", *hashes, keys.arms("sofas"), keys.arms("lamps"), keys.POLICY)
    stock(place.redis.url)
    place.until_well()
    return f"{rounds} of them: decisions all the same, {left_out:.0f} values left out and counted; as ever when mended"


def wrong_types(place: Place) -> str:
    """Hashes that are texts: features, creatives, arms, a pack, the split."""
    run = partial(command, connect(place.redis.url))
    place.until_well()
    creative = keys.creatives("sofa-1", "story")
    moved = [creative, keys.arms("sofas"), keys.pack("lamps", LINEAGE)]
    for key in moved:
        run("DEL", key)
        run("SET", key, "no hash")
    wait_until(lambda: place.server.decide("ann", "sofa-1")["request_flags"] == ["redis_unavailable"], "it shows")
    assert place.server.decide("ann", "sofa-1")["creative"] is not None
    assert place.server.decide("ann", "sofa-2")["request_flags"] == []
    run("DEL", *moved)
    stock(place.redis.url)
    place.until_well()
    return "what needs them is answered from memory, flagged; all else as ever"


FAULTS = (
    Fault("malformed packs (random, cut, another d, NaN, infinite, bits flipped, …)", "refused, counted", packs),
    Fault("malformed announcements of packs", "the subscription goes on", announcements),
    Fault("malformed features, creatives, arms and split", "left out, counted; defaults", values),
    Fault("Redis keys of a wrong type", "flagged; one key harms no other", wrong_types),
)
