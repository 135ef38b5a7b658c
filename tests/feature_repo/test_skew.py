"""What the model is trained on is what it was served: contexts from the offline and the online store are equal."""

import itertools

import numpy as np

from feature_repo import historical_contexts
from stores import OnlineReader, connect_async
from tests.feature_repo import profiles
from tests.feature_repo.shop import Shop


async def test_offline_contexts_equal_served_contexts(shop: Shop) -> None:
    import pandas as pd

    users = [*(f"u{number}" for number in range(profiles.USERS)), "stranger"]
    items = [*(f"i{number}" for number in range(profiles.ITEMS)), "nothing"]
    placements = [*(name for name, *_ in profiles.PLACEMENTS), "nowhere"]
    count = 400
    asked = list(zip(itertools.cycle(users), itertools.cycle(items), itertools.cycle(placements), range(count)))
    frame = pd.DataFrame([row[:3] for row in asked], columns=["user", "item", "placement"])
    offline = historical_contexts(
        shop.repo, shop.schema, frame.assign(event_timestamp=shop.now), store_file=shop.store_file
    )
    client = connect_async(shop.redis_url, timeout_s=10)
    reader = OnlineReader(shop.plan, shop.schema, client)
    rows = [await reader.read(user, [item], placement, shop.now_ms) for user, item, placement, _ in asked]
    await client.aclose()
    served = np.concatenate([shop.schema.encode(row.raw, row.usable) for row in rows])
    assert offline.shape == (count, shop.schema.d)
    assert np.array_equal(offline, served)
    # The cases that could differ did occur.
    assert any(row.stale.any() for row in rows)
    assert any(not row.present.any() for row in rows) or any(not row.user_known for row in rows)
    assert len(np.unique(served, axis=0)) > 100
