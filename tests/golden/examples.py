"""The values behind the golden files. ``python -m tests.golden.examples`` writes files that are missing."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from contracts import (
    CLICK,
    FRESH_ARM,
    IMPRESSION,
    Fact,
    PackBlob,
    StatisticsBlob,
    encode_facts,
    encode_pack,
    encode_statistics,
)

FOLDER = Path(__file__).parent
D = 2
DECISION_ID = bytes.fromhex("018bcfe5680071b4a55584a04f3dac32")
DECISION_MS = 1_700_000_000_000
FACTS = tuple(
    Fact(
        kind=kind,
        decision_id=DECISION_ID,
        decision_ms=DECISION_MS,
        event_ms=DECISION_MS + 1_500 * kind,
        user="user-1",
        item="lamp-7",
        category="lamps",
        arm="oak-morning",
        creative="00ff",
        placement="feed",
        policy="linucb",
        eligible=("oak-morning", "slate-night"),
        propensity=0.5,
        generation=12,
        context=np.array([1024, -512], dtype="<i2").tobytes(),
    )
    for kind in (IMPRESSION, CLICK)
)
STATISTICS = StatisticsBlob(
    lineage="main",
    schema_hash="feedfacefeedface",
    version=3,
    window=1_699_999_800_000,
    shard=5,
    through=-1,
    arms=("oak-morning", "slate-night"),
    n=np.array([2.0, 1.0]),
    reward=np.array([1.0, 0.0]),
    gram=np.array([[2.0, -1.0, 0.5], [1.0, 0.25, 0.0625]]),
    moment=np.array([[1.0, -0.5], [0.0, 0.0]]),
    counts={("linucb", "oak-morning", "feed"): (2.0, 1.0), ("random", "slate-night", "top"): (1.0, 0.0)},
)
PACK = PackBlob(
    lineage="main",
    schema_hash="feedfacefeedface",
    generation=12,
    alpha=0.1,
    ridge=1.0,
    arms=("oak-morning", "slate-night"),
    theta=np.array([[0.25, -0.125], [0.0, 0.0]], dtype=np.float32),
    inverse=np.array([[0.5, 0.25, 0.75], [1.0, 0.0, 1.0]], dtype=np.float32),
)
PACK_WITH_FRESH = replace(
    PACK,
    arms=(*PACK.arms, FRESH_ARM),
    theta=np.array([[0.25, -0.125], [0.0, 0.0], [0.125, -0.0625]], dtype=np.float32),
    inverse=np.array([[0.5, 0.25, 0.75], [1.0, 0.0, 1.0], [0.75, 0.125, 0.875]], dtype=np.float32),
)


def blobs() -> dict[str, bytes]:
    """Each golden file's name and what today's code writes for it."""
    return {
        "facts-1.arrows": encode_facts(FACTS, d=D, schema_hash="feedfacefeedface", lineage="main"),
        "statistics-1.arrows": encode_statistics(STATISTICS),
        "pack-1.arrows": encode_pack(PACK),
        "pack-1-fresh.arrows": encode_pack(PACK_WITH_FRESH),
    }


def write_missing() -> None:
    """Write the files that do not exist; those that do are what older versions wrote, and stay."""
    for name, data in blobs().items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    write_missing()
