"""The estimate of a dry run: arithmetic, the price file, what is said of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from beam_pipelines.generate import PlanCounts, estimate, read_prices
from contracts import InvalidInputError

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deploy" / "generate" / "prices.yaml"
COUNTS = PlanCounts(products=10, pictures=1_100, painted=1_000, existing=7, pixels=300_000_000)


def written(folder: Path, change: dict[str, Any] | None = None, rate: dict[str, Any] | None = None) -> Path:
    plain: dict[str, Any] = {
        "version": 1,
        "currency": "EUR",
        "machines": {"small": {"per_hour": 2.0}},
        "store": {"per_gib_month": 0.5},
        "rates": [
            {
                "backend": "procedural", "machine": "small", "seconds_per_picture": 3.6, "seconds_per_product": 36,
                "bytes_per_megapixel": 1 << 20, "bytes_per_product": 0, "source": "a test", **(rate or {}),
            }
        ],
    }  # fmt: skip
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump({**plain, **(change or {})}))
    return path


def test_hours_storage_and_money(tmp_path: Path) -> None:
    found = estimate(COUNTS, read_prices(written(tmp_path)), "procedural", {})
    assert found.hours == pytest.approx(1_000 * 3.6 / 3600 + 10 * 36 / 3600)
    assert found.compute == pytest.approx(2.2)
    assert found.gib == pytest.approx(300 / 1024)
    assert found.gib_month == pytest.approx(150 / 1024)
    heavy = read_prices(written(tmp_path, rate={"bytes_per_megapixel": 0, "bytes_per_product": 1 << 30}))
    assert estimate(COUNTS, heavy, "procedural", {}).gib == 10


def test_where_nothing_is_to_be_made_nothing_is_to_be_paid(tmp_path: Path) -> None:
    prices = read_prices(written(tmp_path, rate={"bytes_per_product": 1 << 30}))
    found = estimate(PlanCounts(products=10, existing=60), prices, "procedural", {})
    assert (found.hours, found.compute, found.gib, found.gib_month) == (0, 0, 0, 0)


def test_the_rate_with_the_most_fitting_options_counts() -> None:
    prices = read_prices(EXAMPLE)
    gpu = {"device": "cuda", "dtype": "float16", "batch": "16"}
    plain, compiled = (prices.rate("diffusers", {**gpu, "compile": value}) for value in ("no", "yes"))
    assert plain.seconds_per_picture > compiled.seconds_per_picture
    for backend, options in (("diffusers", {"device": "cpu"}), ("watercolour", gpu)):
        with pytest.raises(InvalidInputError, match=f"no rate for backend '{backend}'"):
            prices.rate(backend, options)


def test_the_example_says_that_it_is_one() -> None:
    assert "example prices" in read_prices(EXAMPLE).note
    assert EXAMPLE.read_text().startswith("# EXAMPLE")


@pytest.mark.parametrize(
    ("change", "rate", "said"),
    [
        ({"machines": {"small": {"per_hour": -1}}}, {}, r"per_hour of machines\.small is -1"),
        ({"machines": {"small": {}}}, {}, r"per_hour of machines\.small is None"),
        ({"machines": ["small"]}, {}, "machines is .* a mapping"),
        ({"store": {"per_gib_month": float("nan")}}, {}, "per_gib_month of store is nan"),
        ({"currency": 5}, {}, "currency of the file is 5"),
        ({"rates": []}, {}, "'rates' must be a list"),
        ({}, {"machine": "large"}, r"machine of rates\[0\] is 'large': use one of small"),
        ({}, {"seconds_per_picture": True}, r"seconds_per_picture of rates\[0\] is True"),
        ({}, {"seconds_per_product": float("inf")}, "it must be a number, 0 or more"),
        ({}, {"source": ""}, r"source of rates\[0\] is ''"),
        ({}, {"options": "fast"}, r"rates\[0\]\.options is 'fast'"),
    ],
)
def test_what_is_wrong_in_a_price_file_is_named(
    tmp_path: Path, change: dict[str, Any], rate: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        read_prices(written(tmp_path, change, rate))
