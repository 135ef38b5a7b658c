"""The generation job's work in a plain loop: ``python -m benchmarks.plain_generation CONFIG``, one process, no Beam.

Prints JSON: pictures behind the first, and the seconds from the first picture to the last.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines.generate import GenerateConfig
from contracts import Product
from generation import (
    Creative,
    RembgSegmenter,
    Renderer,
    cut_out,
    decode_photo,
    iter_catalogue,
    open_backend,
    open_gate,
    read_photo_bytes,
    read_placements,
    read_prompts,
    specs_of,
)


def creatives(config: GenerateConfig) -> Iterator[Creative]:
    """All pictures of the products that ``config`` names, one product after the other."""
    segmenter = RembgSegmenter(Path(config.weights))
    backend = open_backend(config.backend, config.backend_options)
    renderer = Renderer(backend, config.attempts, config.batch, open_gate(config.gate, segmenter))
    catalogue, book = Path(config.catalogue), read_prompts(Path(config.prompts))
    slots = read_placements(Path(config.placements))
    for product in iter_catalogue(catalogue, book.prompts):
        if isinstance(product, Product) and product.item_id in config.only:
            photo = decode_photo(read_photo_bytes(product.image_uri, catalogue.parent))
            specs = specs_of(product, photo.sha256, book.of(product.category), slots, backend)
            yield from renderer.originals(photo, [spec for spec in specs if spec.is_original])
            painted = [spec for spec in specs if not spec.is_original]
            yield from renderer.painted(cut_out(photo, segmenter), painted)


def main(config: GenerateConfig) -> None:
    """Make the pictures, write them beside each other."""
    folder = Path(config.objects_uri)
    folder.mkdir(parents=True, exist_ok=True)
    times = []
    for creative in creatives(config):
        (folder / creative.spec.creative_id).write_bytes(creative.data)
        times.append(time.perf_counter())
    sys.stdout.write(json.dumps({"pictures": len(times) - 1, "seconds": times[-1] - times[0]}))


if __name__ == "__main__":
    main(GenerateConfig.from_json(Path(sys.argv[1]).read_text()))
