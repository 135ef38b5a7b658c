import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts import Placement
from generation import CutOut, place
from generation.arrays import Floats
from generation.layout import MAX_ENLARGEMENT, frame_for
from tests.generation.studio import GREY, cutout


def box(alpha: Floats) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


@given(st.integers(8, 300), st.integers(8, 300), st.integers(40, 700), st.integers(40, 700))
def test_the_product_is_whole_inside_the_slot_and_never_blown_up(w: int, h: int, width: int, height: int) -> None:
    solid = CutOut(np.full((h, w, 3), 99, np.uint8), np.ones((h, w), np.float32), "0" * 64, GREY)
    slot = Placement("slot", width, height)
    placed = place(solid, slot)
    assert placed.alpha.shape == (height, width)
    top, bottom, left, right = box(placed.alpha)
    frame = frame_for(slot)
    tall, wide = bottom - top, right - left
    scale = min(frame.height * height / h, frame.width * width / w, MAX_ENLARGEMENT)
    assert abs(tall - max(1, round(h * scale))) <= 1
    assert abs(wide - max(1, round(w * scale))) <= 1
    # Whole: nothing was cut off, so all of it is opaque.
    assert (placed.alpha[top:bottom, left:right] == 1).all()
    assert (placed.rgb[top:bottom, left:right] == 99).all()


def test_wide_slots_leave_room_beside_and_tall_ones_above() -> None:
    product = cutout(400, 460)
    _, _, left, right = box(place(product, Placement("banner", 970, 250)).alpha)
    assert left > 30
    assert right < 970 * 0.5
    top, bottom, left, right = box(place(product, Placement("story", 540, 960)).alpha)
    assert abs((left + right) / 2 - 270) < 2
    assert top > 960 * 0.22
    assert 960 * 0.70 < bottom < 960 * 0.85


def test_the_product_fills_half_to_three_quarters_of_its_slot() -> None:
    product = cutout(400, 460)
    for slot in (
        Placement("a", 600, 600),
        Placement("b", 970, 250),
        Placement("c", 540, 960),
        Placement("d", 800, 418),
    ):
        top, bottom, _, _ = box(place(product, slot).alpha)
        assert 0.45 <= (bottom - top) / slot.height <= 0.76


def test_scaling_does_not_bring_the_removed_backdrop_back() -> None:
    product = cutout(300, 300, (10, 160, 30))
    rgb = product.rgb.copy()
    rgb[product.alpha == 0] = (255, 0, 255)
    placed = place(CutOut(rgb, product.alpha, product.sha256, GREY), Placement("slot", 150, 150))
    seen = placed.rgb[placed.alpha > 0.05].astype(int)
    assert seen[:, 1].min() > 100
    assert seen[:, 0].max() < 80
