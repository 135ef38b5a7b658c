"""The report's pictures: one product in every variation, some of each category, some that the gate refused."""

from collections.abc import Sequence

from beam_pipelines.generate.manifest import ManifestRow
from contracts import ORIGINAL_ARM
from demo.experiment.rates import levels_of, painted
from generation import SheetCell, contact_sheet
from stores import ObjectStore

_CELL = 224
_REFUSED = 12
_QUALITY = 82


def every_variation(objects: ObjectStore, rows: Sequence[ManifestRow], item: str, placement: str) -> bytes:
    """A product's pictures, all arms in the order of their names, six in a row."""
    mine = sorted((row for row in painted(rows) if (row.item_id, row.placement) == (item, placement)), key=_arm)
    cells = [SheetCell(objects.get(row.path), " · ".join(row.arm.split("_")) + _mark(row)) for row in mine]
    return contact_sheet(cells, columns=6, cell=_shape(mine), quality=_QUALITY)


def of_each_category(objects: ObjectStore, rows: Sequence[ManifestRow], placement: str) -> bytes:
    """For each category one product: its photo and two arms that differ in every factor."""
    here = [row for row in rows if row.placement == placement]
    first: dict[str, str] = {}
    for row in here:
        first.setdefault(row.category, row.item_id)
    cells = []
    for category, item in sorted(first.items()):
        mine = [row for row in here if row.item_id == item]
        shown = [row for row in mine if row.arm == ORIGINAL_ARM] + _far_apart(painted(mine))
        cells += [SheetCell(objects.get(row.path), f"{category}: {row.arm.replace('_', ' · ')}") for row in shown]
    return contact_sheet(cells, columns=6, cell=_shape(here), quality=_QUALITY)


def refused(objects: ObjectStore, rows: Sequence[ManifestRow], placement: str) -> bytes | None:
    """Pictures that the gate refused from every seed, with the limits they broke; None where there is none."""
    flagged = [row for row in painted(rows) if row.flagged and row.placement == placement]
    # One a product first, so that one bad photo does not fill the sheet.
    turns: dict[str, int] = {}
    order = []
    for row in flagged:
        turns[row.item_id] = turns.get(row.item_id, 0) + 1
        order.append((turns[row.item_id], row.creative_id, row))
    shown = [row for _, _, row in sorted(order, key=lambda each: each[:2])][:_REFUSED]
    if not shown:
        return None
    cells = [SheetCell(objects.get(row.path), f"{', '.join(row.reasons)}: {row.item_id}") for row in shown]
    return contact_sheet(cells, columns=6, cell=_shape(shown), quality=_QUALITY)


def _far_apart(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    if not rows:
        return []
    passed = [row for row in rows if not row.flagged] or list(rows)
    first = passed[0]
    levels = levels_of(first)
    return [first, max(passed, key=lambda row: sum(levels.get(k) != v for k, v in levels_of(row).items()))]


def _shape(rows: Sequence[ManifestRow]) -> tuple[int, int]:
    return (_CELL, round(_CELL * rows[0].height / rows[0].width))


def _mark(row: ManifestRow) -> str:
    return " [refused]" if row.flagged else ""


def _arm(row: ManifestRow) -> str:
    return row.arm
