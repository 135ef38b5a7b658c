import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from contracts import InvalidInputError
from demo.population import SEGMENTS, item_table, make_population, placement_table, user_table

if TYPE_CHECKING:
    from tests.demo.conftest import SmallShop

NOW = pa.scalar(dt.datetime(2024, 8, 1, tzinfo=dt.UTC), pa.timestamp("us", tz="UTC"))


def test_observed_segment_equals_the_hidden_one_nine_times_in_ten() -> None:
    population = make_population(20_000, np.random.default_rng(0))
    assert (population.segment == population.browse_segment).mean() == pytest.approx(0.9, abs=0.01)


def test_activity_sums_to_one_and_has_a_heavy_tail() -> None:
    population = make_population(5_000, np.random.default_rng(1))
    assert population.activity.sum() == pytest.approx(1)
    top = np.sort(population.activity)[-500:].sum()
    assert 0.2 < top < 0.6


def test_appetite_averages_one_per_view() -> None:
    population = make_population(3_000, np.random.default_rng(2))
    assert population.activity @ population.appetite == pytest.approx(1)


def test_user_table_holds_only_known_shoppers() -> None:
    population = make_population(2_000, np.random.default_rng(3))
    table = user_table(population, NOW)
    assert table.num_rows == population.known.sum() < 2_000
    assert set(table["browse_segment"].to_pylist()) == set(SEGMENTS)
    assert set(table["device"].to_pylist()) == {"mobile", "desktop"}
    assert table["event_timestamp"].null_count == 0


def test_item_and_placement_tables_have_a_row_each(shop: "SmallShop") -> None:
    popularity = np.linspace(0, 1, len(shop.products))
    urls = [f"https://shop.example/{product.item_id}" for product in shop.products]
    items = item_table(shop.products, popularity, urls, urls, NOW)
    assert items.num_rows == len(shop.products)
    assert items["url"].to_pylist() == urls
    assert placement_table(shop.placements, NOW)["position"].to_pylist() == ["top", "feed", "sidebar"]


def test_no_shoppers_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="0 shoppers"):
        make_population(0, np.random.default_rng(0))
