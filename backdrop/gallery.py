"""``backdrop contact-sheet``: one placement's creatives on one picture, a row a product, the photo first."""

from collections.abc import Collection

from beam_pipelines.generate.manifest import ManifestRow, read_manifest
from contracts import ORIGINAL_ARM, InvalidInputError
from generation.contact_sheet import SheetCell, contact_sheet
from stores import ObjectStore

_CELL_WIDTH = 280
_CELL_HEIGHTS = (120, 420)


def sheet_of(objects: ObjectStore, placement: str, only: Collection[str] = ()) -> bytes:
    """A JPEG of every creative of ``placement``; ``only`` keeps the products or categories named.

    Raises:
        InvalidInputError: if the manifest holds no such creative.
    """
    rows = [
        row
        for row in read_manifest(objects).values()
        if row.placement == placement and (not only or row.item_id in only or row.category in only)
    ]
    if not rows:
        message = f"the manifest has no creatives of placement {placement!r}: run `backdrop generate`, or name another"
        raise InvalidInputError(message)
    rows.sort(key=lambda row: (row.category, row.item_id, row.arm != ORIGINAL_ARM, row.arm))
    columns = max(sum(row.item_id == first.item_id for row in rows) for first in rows)
    height = round(_CELL_WIDTH * rows[0].height / rows[0].width)
    cells = [SheetCell(objects.get(row.path), _caption(row)) for row in rows]
    low, high = _CELL_HEIGHTS
    return contact_sheet(cells, columns=columns, cell=(_CELL_WIDTH, min(max(height, low), high)))


def _caption(row: ManifestRow) -> str:
    flag = " (flagged: " + ", ".join(row.reasons) + ")" if row.flagged else ""
    return f"{row.item_id} · {row.arm}{flag}"
