"""``python -m demo.experiment``: run the experiment and write its report."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from beam_pipelines.generate import gallery_of, progress_bar, progress_log
from contracts import BackdropError, InvalidInputError
from demo.experiment.config import CATALOGUE, ExperimentConfig
from demo.experiment.pictures import every_variation, of_each_category, refused
from demo.experiment.report import as_json, report_page
from demo.experiment.run import Result, run_experiment

_SHOWN = "armchair-shellback"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write the page, its pictures and the numbers; an error of ours is one sentence and 1."""
    parser = argparse.ArgumentParser(prog="python -m demo.experiment", description=__doc__)
    parser.add_argument("--products", type=int, default=100, help="how many, evenly from the categories")
    parser.add_argument("--placements", default="square", help="names, comma-separated: square,feed,story")
    parser.add_argument("--backend", default="procedural", help="procedural or diffusers")
    parser.add_argument("--model-folder", type=Path, help="local model folder of the diffusers backend")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE, help="folder of products, prompts, placements")
    parser.add_argument("--home", type=Path, default=Path(".backdrop/experiment"), help="folder of the pictures")
    parser.add_argument("--out", type=Path, help="folder of the report [default: <home>/report]")
    parser.add_argument("--weights", type=Path, default=Path(".backdrop/weights/u2netp.onnx"), help=argparse.SUPPRESS)
    words = parser.parse_args(arguments)
    # onnxruntime would send usage data to its maker otherwise; child processes inherit it.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    console = Console()
    try:
        config = ExperimentConfig(
            # The job runs in another process.
            home=words.home.resolve(),
            catalogue=words.catalogue,
            products=words.products,
            placements=tuple(name for name in words.placements.split(",") if name),
            backend=words.backend,
            backend_options={} if words.model_folder is None else {"model": str(words.model_folder)},
            workers=words.workers,
            weights=words.weights,
        )
        with ExitStack() as stack:
            progress = stack.enter_context(progress_bar(console)) if console.is_terminal else progress_log()
            result = run_experiment(config, progress)
        page = write_report(result, words.out or words.home / "report", "make experiment")
        gallery = write_gallery(result)
    except BackdropError as error:
        console.print(f"experiment: {error}", highlight=False, markup=False)
        return 1
    console.print(
        f"{len(result.rows):,} of {result.wanted:,} pictures; report: {page}, gallery: {gallery}", highlight=False
    )
    return 0


def write_gallery(result: Result) -> Path:
    """Write the gallery of all the pictures, one file that opens from disk, into the home; returns its path."""
    path = result.config.home / "gallery.html"
    shown = gallery_of(
        result.objects,
        title="The first experiment",
        placements=result.config.placements,
        only=[product.item_id for product in result.products],
        titles={product.item_id: product.title for product in result.products},
    )
    path.write_text(shown, encoding="utf-8")
    return path


def write_report(result: Result, out: Path, command: str) -> Path:
    """Write experiment.md, experiment.json and images into ``out``; returns the page's path.

    Raises:
        InvalidInputError: if there is not one picture.
    """
    if not result.rows:
        message = f"no picture came of {len(result.products)} products: {dict(result.generated.dead_letters)}"
        raise InvalidInputError(message)
    objects, placement = result.objects, result.config.slots()[0].placement
    items = [product.item_id for product in result.products]
    item = _SHOWN if _SHOWN in items else result.rows[0].item_id
    sheets = [
        ("factors", f"One product, every variation: {item}", every_variation(objects, result.rows, item, placement)),
        (
            "categories",
            "One product of each category: its photo and two pictures that differ in every factor",
            of_each_category(objects, result.rows, placement),
        ),
        (
            "refused",
            "Refused from every seed, with the limits broken",
            refused(objects, result.rows, placement),
        ),
    ]
    (out / "images").mkdir(parents=True, exist_ok=True)
    images = []
    for name, what, data in sheets:
        if data is not None:
            path = f"images/experiment-{name}.jpg"
            (out / path).write_bytes(data)
            images.append((path, what))
    (out / "experiment.json").write_text(json.dumps(as_json(result), indent=1) + "\n", encoding="utf-8")
    page = out / "experiment.md"
    page.write_text(report_page(result, images, command), encoding="utf-8")
    return page


if __name__ == "__main__":
    sys.exit(main())
