r"""Make a catalogue anew: photos, products.parquet and NOTICE.md.

Run by whoever changes a catalogue; what it writes is committed. The demo's, and the hundred::

    LIBRARIES=/usr/share/sweethome3d/furniture
    python -m demo.render --library $LIBRARIES/BlendSwap-CC-0.sh3f
    python -m demo.render --library $LIBRARIES/{BlendSwap-CC-0,BlendSwap-CC-BY,Scopia}.sh3f --size 800 --quality 86 \
        --recipe demo/render/hundred.yaml --out demo/catalogue/hundred

With ``--masks`` it writes no photos but what of them is the product (``masks/*.png``), to judge cut-outs by.
"""

import argparse
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from demo.render.models import Library
from demo.render.notice import library_of, notice, open_libraries
from demo.render.recipe import ATTRIBUTES, Entry, finished, read_recipe
from demo.render.studio import outline, photograph

_HERE = Path(__file__).parent
_LIBRARY = Path("/usr/share/sweethome3d/furniture/BlendSwap-CC-0.sh3f")
_SIZE = 1000
_QUALITY = 90

_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("category", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("price", pa.float64()),
        ("brand", pa.string()),
        ("image_uri", pa.string()),
    ],
)


def photo(library: Library, entry: Entry, size: int = _SIZE, quality: int = _QUALITY) -> bytes:
    """JPEG bytes of one product's photo; the same library and entry give the same bytes."""
    mesh = finished(library.load(entry.model), entry.finishes)
    buffer = BytesIO()
    photograph(mesh, entry.shot, size).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def mask(library: Library, entry: Entry, size: int = _SIZE) -> bytes:
    """PNG bytes of what in a product's photo is the product, 1 bit a pixel."""
    buffer = BytesIO()
    outline(finished(library.load(entry.model), entry.finishes), entry.shot, size).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def products_table(entries: Sequence[Entry]) -> pa.Table:
    """The rows of products.parquet, in the recipe's order; columns of attributes where any product has them."""
    told = [name for name in ATTRIBUTES if any(name in dict(entry.product.attributes) for entry in entries)]
    rows = [
        {name: getattr(entry.product, name) for name in _SCHEMA.names} | dict(entry.product.attributes)
        for entry in entries
    ]
    schema = pa.schema([*_SCHEMA, *((name, pa.string()) for name in told)])
    return pa.Table.from_pylist(rows, schema=schema)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the catalogue; ``--only`` renders just the named photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--library",
        type=Path,
        nargs="+",
        default=[_LIBRARY],
        help="furniture libraries (.sh3f); the first is the default",
    )
    parser.add_argument("--recipe", type=Path, default=_HERE / "products.yaml", help="what to photograph and how")
    parser.add_argument("--out", type=Path, default=_HERE.parent / "catalogue", help="the catalogue's folder")
    parser.add_argument("--only", nargs="*", default=None, metavar="ID", help="render these photos and no others")
    parser.add_argument("--size", type=int, default=_SIZE, help="width and height of a photo in pixels")
    parser.add_argument("--quality", type=int, default=_QUALITY, help="JPEG quality of a photo")
    parser.add_argument("--masks", action="store_true", help="write masks, nothing else")
    options = parser.parse_args(arguments)
    log = structlog.get_logger()
    libraries, entries = open_libraries(options.library), read_recipe(options.recipe)
    for entry in entries:
        item = entry.product.item_id
        if entry.borrowed or (options.only is not None and item not in options.only):
            continue
        if options.masks:
            _write(options.out / "masks" / f"{item}.png", mask(library_of(libraries, entry), entry, options.size))
            log.info("mask", item=item)
        else:
            data = photo(library_of(libraries, entry), entry, options.size, options.quality)
            _write(options.out / entry.product.image_uri, data)
            log.info("photo", item=item, bytes=len(data))
    if options.masks:
        return
    buffer = BytesIO()
    pq.write_table(products_table(entries), buffer, compression="zstd")
    _write(options.out / "products.parquet", buffer.getvalue())
    _write(options.out / "NOTICE.md", notice(libraries, entries).encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
