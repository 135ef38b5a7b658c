"""The demo end to end, shrunken: real Redis, Feast, Beam, Prism, HTTP and pictures on a handful of products."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console

from demo.config import DemoConfig
from demo.run import run_demo
from demo.shop import CATALOGUE
from demo.shoppers import Pace

PROJECT = Path(__file__).resolve().parents[2]
DECISIONS = 3_000

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        not all((PROJECT / ".backdrop" / name).exists() for name in ("tools/prism", "weights/u2netp.onnx")),
        reason="Prism and the segmentation weights are not set up: run make setup",
    ),
]


@pytest.fixture(scope="module")
def small_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of the demo's catalogue with two products and three prompts each, two small slots."""
    folder = tmp_path_factory.mktemp("catalogue")
    table = pq.read_table(CATALOGUE / "products.parquet")
    kept: dict[str, list[int]] = {}
    for row, category in enumerate(table["category"].to_pylist()):
        kept.setdefault(category, []).append(row)
    categories = sorted(kept)[:2]
    chosen = table.take([row for category in categories for row in kept[category][:2]])
    pq.write_table(chosen, folder / "products.parquet")
    for uri in chosen["image_uri"].to_pylist():
        (folder / uri).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CATALOGUE / uri, folder / uri)
    book = yaml.safe_load((CATALOGUE / "prompts.yaml").read_text())
    prompts = {category: book["categories"][category]["prompts"][:3] for category in categories}
    (folder / "prompts.yaml").write_text(yaml.safe_dump({"version": 1, "categories": prompts}))
    slots = [
        {"placement": "wide", "width": 320, "height": 160, "position": "top"},
        {"placement": "square", "width": 200, "height": 200, "position": "feed"},
    ]
    (folder / "placements.yaml").write_text(yaml.safe_dump({"version": 1, "placements": slots}))
    return folder


def processes_of(home: Path) -> list[str]:
    """Command lines of processes that were started for this state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in words and int(folder.name) != os.getpid():
            found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_the_whole_system_runs_and_the_stream_equals_its_replay(small_catalogue: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    written = io.StringIO()
    config = DemoConfig(
        home=home,
        seed=1,
        decisions=DECISIONS,
        port=0,
        catalogue=small_catalogue,
        shoppers=300,
        # Slow enough for windows to close while it runs.
        pace=Pace(decisions_per_s=DECISIONS / 50),
    )
    result = run_demo(config, Console(file=written, width=100))
    text = written.getvalue()

    identity = result.report.identity
    assert identity is not None
    assert identity.identical, identity.differences
    assert identity.windows_closed >= 1
    assert "streaming state == batch replay of the event log: identical" in text

    assert result.traffic is not None
    assert not result.traffic.problems
    # Each shown decision is one fact, each click another: none lost, none twice.
    rows = {row.policy: row for row in result.report.rows}
    assert list(rows) == ["original", "random", "linucb"]
    assert sum(row.decisions for row in rows.values()) == DECISIONS
    assert identity.facts == sum(row.shown + row.clicks for row in rows.values())

    assert rows["random"].truth == pytest.approx(1.15 * rows["original"].truth, rel=0.1)
    learned = result.report.lift("linucb", "random")
    assert learned is not None
    assert learned.truth > 0
    assert "linucb over random" in text
    assert "stronger than the paper's" in text

    assert [phase.name for phase in result.phases][-1] == "report"
    assert all(phase.peak_bytes > 0 for phase in result.phases)
    stored = json.loads((home / "result.json").read_text())
    assert stored["report"]["identity"]["identical"] is True
    assert result.generated["made"] == 4 * 4 * 2
    assert processes_of(home) == []


def test_ctrl_c_in_the_middle_leaves_nothing(small_catalogue: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = [sys.executable, "-m", "backdrop", "demo", "--home", str(home), "--port", "0"]
    environment = {**os.environ, "BACKDROP_GENERATE__WORKERS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "features and pictures" in line:
                break
        time.sleep(3)
        assert len(processes_of(home)) > 1
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    deadline = time.monotonic() + 20
    while processes_of(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(home) == []
