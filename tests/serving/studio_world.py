"""Ten minutes of a small shop's history for the studio: pictures, packs, and a log that begins in the past."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import redis
from PIL import Image, ImageDraw, ImageFilter

from contracts import (
    CLICK,
    IMPRESSION,
    LINUCB,
    ORIGINAL,
    RANDOM,
    CreativeRef,
    Fact,
    encode_facts,
    keys,
    new_decision_id,
)
from learner import ArmStats, LinUCB
from stores import CreativeIndex, StatisticsStore
from stores.connect import command
from tests.serving.world import LINEAGE, PARTITIONS, PLACEMENTS, SCHEMA, USERS, put_features

SPAN_MS = 600_000
ITEMS = {
    "armchair-velvet": "armchairs",
    "armchair-wing": "armchairs",
    "desk-lamp-brass": "lamps",
    "floor-lamp-arc": "lamps",
    "oak-sideboard": "cabinets",
    "plant-stand": "decor",
}
# Hidden truth: click rate of each arm; the original is the plainest.
RATES: Mapping[str, float] = {
    "original": 0.030,
    "marble-studio": 0.028,
    "oak-loft": 0.040,
    "linen-garden": 0.034,
    "slate-night": 0.032,
    "sand-sunset": 0.062,
}
COLOURS: Mapping[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "original": ((244, 243, 240), (250, 250, 248)),
    "marble-studio": ((222, 224, 228), (246, 246, 249)),
    "oak-loft": ((176, 128, 84), (226, 206, 180)),
    "linen-garden": ((206, 198, 176), (150, 178, 132)),
    "slate-night": ((58, 64, 76), (24, 30, 50)),
    "sand-sunset": ((214, 178, 126), (246, 160, 110)),
}


def fill_studio(client: redis.Redis, objects: Path, photos: Path | None = None, *, facts: int = 30_000) -> None:
    """Make features, pictures, packs and history."""
    for user, segment in USERS.items():
        put_features(client, "user", user, {"segment": segment})
    for placement, (width, height) in PLACEMENTS.items():
        put_features(client, "placement", placement, {"width": width, "height": height})
    for number, (item, category) in enumerate(ITEMS.items()):
        url = f"https://shop.example/{item}"
        put_features(client, "item", item, {"category": category, "price": 80.0 + 90 * number, "url": url})
    _pictures(client, objects, sorted(photos.glob("*.jpg")) if photos else [])
    for category in set(ITEMS.values()):
        _pack(client, category)
    _history(client, facts)


def _pictures(client: redis.Redis, objects: Path, photos: list[Path]) -> None:
    index = CreativeIndex(client)
    (objects / "creatives").mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(ITEMS):
        photo = photos[(number * 5) % len(photos)] if photos else None
        for placement, size in PLACEMENTS.items():
            refs = {}
            for arm in RATES:
                name = f"{item}-{placement}-{arm}"
                _picture(arm, size, photo).save(objects / "creatives" / f"{name}.jpg", quality=85)
                refs[arm] = CreativeRef(name, f"/media/creatives/{name}.jpg", *size)
            index.publish(item, placement, refs)


def _picture(arm: str, size: tuple[int, int], photo: Path | None) -> Image.Image:
    ground, sky = COLOURS[arm]
    picture = Image.new("RGB", size, sky)
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.rectangle((0, int(height * 0.68), width, height), fill=ground)
    picture = picture.filter(ImageFilter.GaussianBlur(3))
    side = int(min(width, height) * 0.72)
    at = ((width - side) // 2, int(height * 0.84) - side)
    if photo is None:
        ImageDraw.Draw(picture).ellipse((*at, at[0] + side, at[1] + side), fill=(150, 90, 80))
        return picture
    cut = Image.open(photo).convert("RGB").resize((side, side))
    # Photos stand on a plain background: what is nearly white is left out.
    mask = cut.convert("L").point(lambda value: 0 if value > 236 else 255).filter(ImageFilter.GaussianBlur(1))
    picture.paste(cut, at, mask)
    return picture


def _pack(client: redis.Redis, category: str) -> None:
    rng = np.random.default_rng(len(category))
    stats = {}
    for arm, rate in RATES.items():
        if arm != "original":
            contexts = np.concatenate([np.ones((3000, 1)), rng.uniform(-1, 1, (3000, SCHEMA.d - 1))], axis=1)
            stats[arm] = ArmStats.zero(SCHEMA.d).observe(contexts, (rng.random(3000) < rate).astype(np.float64))
    command(client, "SADD", keys.lineage_categories(LINEAGE), category)
    command(client, "SET", keys.ACTIVE_LINEAGE, LINEAGE)
    blob = LinUCB.fit(stats, alpha=0.1).to_arrow(lineage=LINEAGE, schema_hash=SCHEMA.hash, generation=412)
    StatisticsStore(client, LINEAGE).put_pack(category, 412, blob)


def _history(client: redis.Redis, count: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    size = 200
    batch: list[Fact] = []
    for number, fact in enumerate(_facts(now_ms - SPAN_MS, count)):
        batch.append(fact)
        if len(batch) == size:
            blob = encode_facts(batch, d=SCHEMA.d, schema_hash=SCHEMA.hash, lineage=LINEAGE)
            stream = keys.events((number // size) % PARTITIONS)
            command(client, "XADD", stream, f"{batch[-1].event_ms}-0", "b", blob)
            batch = []


def _facts(begin_ms: int, count: int) -> Iterator[Fact]:
    """Shown and clicked decisions in the order of time; linucb finds the best arm as time goes by."""
    rng = np.random.default_rng(11)
    generated = [arm for arm in RATES if arm != "original"]
    slots = [(item, placement) for item in ITEMS for placement in PLACEMENTS]
    for number in range(count):
        at_ms = begin_ms + number * (SPAN_MS - 20_000) // count
        policy = (ORIGINAL, RANDOM, LINUCB)[number % 3]
        learned = policy == LINUCB and rng.random() < min(0.92, 3.2 * number / count)
        arm = (
            "original"
            if policy == ORIGINAL
            else "sand-sunset"
            if learned
            else generated[int(rng.integers(len(generated)))]
        )
        item, placement = slots[int(rng.integers(len(slots)))]
        decision_id = new_decision_id(at_ms)
        kinds = [IMPRESSION, CLICK] if rng.random() < RATES[arm] else [IMPRESSION]
        for kind in kinds:
            yield Fact(
                kind, decision_id, at_ms, at_ms + kind, "ann", item, ITEMS[item], arm, "c", placement, policy,
                (arm,), 1.0, 1, bytes(2 * SCHEMA.d),
            )  # fmt: skip
