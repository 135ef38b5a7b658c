"""A contact sheet of what the manifest holds: one row a product, the original first, then its arms."""

from collections.abc import Iterable

from beam_pipelines.generate.manifest import ManifestRow, read_manifest
from contracts import ORIGINAL_ARM, InvalidInputError
from generation import SheetCell, contact_sheet
from stores import ObjectStore

_CELL = 300


def sheet_of(
    objects: ObjectStore, placement: str, *, items: Iterable[str] = (), arms: int = 5, cell_width: int = _CELL
) -> bytes:
    """A JPEG of the newest creatives of a placement; ``items`` picks and orders products (all, by name, if empty).

    Raises:
        InvalidInputError: if there is no such creative.
    """
    rows = [row for row in read_manifest(objects).values() if row.placement == placement]
    wanted = tuple(items) or tuple(sorted({row.item_id for row in rows}))
    cells: list[SheetCell] = []
    for item in wanted:
        # One cell an arm: of several recipes' pictures the last in the order of their ids.
        by_arm: dict[str, ManifestRow] = {row.arm: row for row in sorted(rows, key=_by_id) if row.item_id == item}
        shown = [by_arm[arm] for arm in sorted(by_arm, key=lambda arm: (arm != ORIGINAL_ARM, arm))][: arms + 1]
        for row in shown:
            mark = " [flagged]" if row.flagged else ""
            cells.append(SheetCell(objects.get(row.path), f"{item} · {row.arm}{mark}"))
    if not cells:
        message = f"no creatives of placement {placement!r} for {list(wanted)}: run generate first"
        raise InvalidInputError(message)
    shape = rows[0].height / rows[0].width
    return contact_sheet(cells, columns=arms + 1, cell=(cell_width, round(cell_width * shape)))


def _by_id(row: ManifestRow) -> str:
    return row.creative_id
