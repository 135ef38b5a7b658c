"""A contact sheet: many creatives on one picture, each with its caption."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from contracts import InvalidInputError

_GAP = 12
_PAPER = (250, 249, 247)
_INK = (52, 52, 56)


@dataclass(frozen=True, slots=True)
class SheetCell:
    """One picture (bytes of an image file) and what stands below it."""

    data: bytes
    caption: str


def contact_sheet(cells: Sequence[SheetCell], *, columns: int, cell: tuple[int, int], quality: int = 85) -> bytes:
    """A JPEG of cells in rows of ``columns``, each fitted into ``cell`` (width, height) pixels, caption below.

    Raises:
        InvalidInputError: if there is no cell, or ``columns`` is below 1.
    """
    if not cells or columns < 1:
        message = f"a contact sheet of {len(cells)} pictures in {columns} columns cannot be made: give at least one"
        raise InvalidInputError(message)
    font = ImageFont.load_default(size=13)
    line = 20
    width, height = cell
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * (height + line + _GAP) + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, entry in enumerate(cells):
        left = _GAP + index % columns * (width + _GAP)
        top = _GAP + index // columns * (height + line + _GAP)
        with Image.open(io.BytesIO(entry.data)) as picture:
            scale = min(width / picture.width, height / picture.height)
            size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
            shown = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        sheet.paste(shown, (left + (width - size[0]) // 2, top + (height - size[1]) // 2))
        pen.text((left, top + height + 3), _fitted(entry.caption, font, width), fill=_INK, font=font)
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
