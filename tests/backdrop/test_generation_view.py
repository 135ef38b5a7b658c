"""What ``backdrop generate --dry-run`` prints."""

from pathlib import Path

import pytest

from backdrop.generation_view import generate_with_progress
from contracts import InvalidInputError
from tests.beam_pipelines.generate.shop import open_shop, row
from tests.beam_pipelines.generate.test_estimate import written


def test_a_dry_run_prints_counts_and_what_they_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = open_shop(
        tmp_path, [row("stool"), row("pot", "garden"), row("gone", image_uri="missing.png")], dry_run=True
    )
    prices = written(tmp_path, {"note": "of a test"}, {"seconds_per_picture": 3600, "seconds_per_product": 0})
    generate_with_progress(config, prices)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("10 pictures would be made, 0 existed")
    assert lines[1:] == [
        "1 products left out: no_image",
        "2 products, 6 pictures to paint, 0.2 megapixels",
        "by placement: banner 5, square 5",
        "estimated: 6.00 hours of small = 12.00 EUR, 0.00 GiB stored = 0.00 EUR a month, "
        "12.00 EUR with the first month",
        "speed: a test",
        "prices: of a test",
    ]
    generate_with_progress(config)
    assert "set generate.prices" in capsys.readouterr().out.splitlines()[-1]


def test_prices_that_do_not_fit_are_told_before_anything_is_read(tmp_path: Path) -> None:
    config = open_shop(tmp_path, [row("stool")], dry_run=True, catalogue=str(tmp_path / "none.csv"))
    with pytest.raises(InvalidInputError, match="no rate for backend 'procedural'"):
        generate_with_progress(config, written(tmp_path, rate={"backend": "diffusers"}))
