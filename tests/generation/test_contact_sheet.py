import io

import pytest
from PIL import Image

from contracts import InvalidInputError
from generation import SheetCell, contact_sheet, encode
from tests.generation.studio import photo_pixels


def test_all_pictures_are_on_the_sheet() -> None:
    cells = [
        SheetCell(encode(photo_pixels(60, 40), "jpeg"), f"chair {i} with a very long caption {'x' * 60}")
        for i in range(7)
    ]
    with Image.open(io.BytesIO(contact_sheet(cells, columns=3, cell=(100, 80)))) as sheet:
        assert sheet.width == 3 * 112 + 12
        assert sheet.height == 3 * 112 + 12


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="at least one"):
        contact_sheet([], columns=3, cell=(100, 80))
