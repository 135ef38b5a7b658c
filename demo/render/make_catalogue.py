"""Make the demo catalogue anew: photos, products.parquet and NOTICE.md.

Run once by whoever changes the catalogue; what it writes is committed::

    python -m demo.render --library /usr/share/sweethome3d/furniture/BlendSwap-CC-0.sh3f
"""

import argparse
import os
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from demo.render.models import Library, open_library
from demo.render.recipe import Entry, finished, read_recipe
from demo.render.studio import photograph

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


def photo(library: Library, entry: Entry, size: int = _SIZE) -> bytes:
    """JPEG bytes of one product's photo; the same library and entry give the same bytes."""
    mesh = finished(library.load(entry.model), entry.finishes)
    buffer = BytesIO()
    photograph(mesh, entry.shot, size).save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def products_table(entries: Sequence[Entry]) -> pa.Table:
    """The rows of products.parquet, in the recipe's order."""
    rows = [{name: getattr(entry.product, name) for name in _SCHEMA.names} for entry in entries]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def notice(library: Library, entries: Sequence[Entry]) -> str:
    """NOTICE.md: where every photo comes from."""
    lines = [
        "# Where the demo catalogue comes from",
        "",
        "The photos in `photos/` were rendered by `demo/render` from 3-D models of the collection",
        "*Blend Swap CC-0* for Sweet Home 3D (`BlendSwap-CC-0.sh3f`, version 1.8, in Debian's package",
        "`sweethome3d-furniture`), put together and converted by Emmanuel Puybaret / eTeks. Collection and models are",
        "released under Creative Commons Zero 1.0 (public domain, text in `CC0-1.0.txt`). No credit is required;",
        "it is given gladly. The photos are under CC0 1.0, too.",
        "",
        "Shops, brands, titles, descriptions and prices are invented.",
        "",
        "| photo | model | author | origin |",
        "| --- | --- | --- | --- |",
    ]
    for entry in entries:
        model = library.models[entry.model]
        number = re.search(r"blends/view/(\d+)", library.licence(entry.model))
        origin = f"blendswap.com/blends/view/{number[1]}" if number else "blendswap.com"
        lines.append(f"| {entry.product.item_id} | {model.name} (`{model.key}`) | {model.creator} | {origin} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the catalogue; ``--only`` renders just the named photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, default=_LIBRARY, help="the furniture library (.sh3f)")
    parser.add_argument("--recipe", type=Path, default=_HERE / "products.yaml", help="what to photograph and how")
    parser.add_argument("--out", type=Path, default=_HERE.parent / "catalogue", help="the catalogue's folder")
    parser.add_argument("--only", nargs="*", default=None, metavar="ID", help="render these photos and no others")
    parser.add_argument("--size", type=int, default=_SIZE, help="width and height of a photo in pixels")
    options = parser.parse_args(arguments)
    log = structlog.get_logger()
    library, entries = open_library(options.library), read_recipe(options.recipe)
    for entry in entries:
        if options.only is None or entry.product.item_id in options.only:
            data = photo(library, entry, options.size)
            _write(options.out / entry.product.image_uri, data)
            log.info("photo", item=entry.product.item_id, bytes=len(data))
    buffer = BytesIO()
    pq.write_table(products_table(entries), buffer, compression="zstd")
    _write(options.out / "products.parquet", buffer.getvalue())
    _write(options.out / "NOTICE.md", notice(library, entries).encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
