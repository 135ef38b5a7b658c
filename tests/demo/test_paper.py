import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from contracts import LINUCB, ORIGINAL, RANDOM, InvalidInputError
from demo.config import DemoConfig, shares_of
from demo.paper import PaperConfig, run_paper
from demo.run import run_demo
from demo.shop import open_shop


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    tags = [
        {"surface": surface, "scene": scene, "light": "bright-noon", "mood": "calm"}
        for surface, scene in (("oak", "garden"), ("marble", "kitchen"), ("slate", "city-night"), ("sand", "beach"))
    ]
    prompts = [{"arm": f"arm-{place}", "text": "a place", "tags": each} for place, each in enumerate(tags)]
    categories = ("chairs", "lamps")
    (folder / "prompts.yaml").write_text(
        yaml.safe_dump({"version": 1, "categories": dict.fromkeys(categories, prompts)})
    )
    slots = [{"placement": name, "width": 400, "height": 300, "position": name} for name in ("top", "feed")]
    (folder / "placements.yaml").write_text(yaml.safe_dump({"version": 1, "placements": slots}))
    rows = [
        {
            "item_id": f"{category}-{number}",
            "category": category,
            "title": "A thing",
            "description": "",
            "price": 10.0 * (1 + number),
            "brand": "",
            "image_uri": "photo.jpg",
        }
        for category in categories
        for number in range(5)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "products.parquet")
    return folder


def quiet() -> Console:
    return Console(file=io.StringIO(), width=100)


def test_the_papers_two_results_come_out(catalogue: Path) -> None:
    report = run_paper(PaperConfig(seed=3, decisions=1_000_000, catalogue=catalogue, shoppers=30_000), quiet())
    generated, learned = report.lift(RANDOM, ORIGINAL), report.lift(LINUCB, RANDOM)
    assert generated is not None
    assert learned is not None
    assert generated.significant
    assert generated.truth == pytest.approx(0.15, abs=0.01)
    assert 0.03 < learned.truth < 0.10
    assert report.best_over_random == pytest.approx(0.10, abs=0.005)


def test_the_same_seed_gives_the_same_report(catalogue: Path) -> None:
    config = PaperConfig(seed=5, decisions=40_000, catalogue=catalogue, shoppers=500)
    assert run_paper(config, quiet()) == run_paper(config, quiet())


def test_the_demo_command_runs_it_in_process(catalogue: Path, tmp_path: Path) -> None:
    console = quiet()
    config = DemoConfig(world="paper", decisions=20_000, seed=2, catalogue=catalogue, home=tmp_path / "home")
    result = run_demo(config, console)
    assert result.passed
    assert not (tmp_path / "home").exists()
    assert sum(row.decisions for row in result.report.rows) == 20_000
    written = console.file
    assert isinstance(written, io.StringIO)
    assert "20,000 decisions in process" in written.getvalue()


def test_only_the_policies_asked_for_serve(catalogue: Path) -> None:
    config = DemoConfig(world="paper", decisions=9_000, split=shares_of([RANDOM, LINUCB]), catalogue=catalogue)
    rows = run_demo(config, quiet()).report.rows
    assert [row.policy for row in rows] == [RANDOM, LINUCB]
    assert rows[0].decisions == pytest.approx(4_500, rel=0.1)


def test_an_unknown_world_is_named(catalogue: Path) -> None:
    with pytest.raises(InvalidInputError, match="'mars' is not known: use demo or paper"):
        open_shop(catalogue, world="mars", shoppers=10, seed=0)


def test_the_shop_is_a_function_of_its_seed(catalogue: Path) -> None:
    one, two, other = (open_shop(catalogue, world="demo", shoppers=50, seed=seed) for seed in (1, 1, 2))
    assert (one.world.lift == two.world.lift).all()
    assert not (one.world.lift == other.world.lift).all()
    assert (one.traffic_rng().random(4) == two.traffic_rng().random(4)).all()
