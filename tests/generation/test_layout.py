import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import InvalidInputError, Placement
from generation import CutOut, place
from generation.arrays import Floats
from generation.layout import ANCHORS, MAX_ENLARGEMENT, frame_for
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


EDGE = st.integers(0, 45).map(lambda percent: percent / 100)
SIDE = st.one_of(st.integers(32, 400), st.sampled_from([50, 90, 600, 728, 970, 2048, 4096]))


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(8, 300), st.integers(8, 300)),
    st.tuples(SIDE, SIDE),
    st.tuples(EDGE, EDGE, EDGE, EDGE),
    st.sampled_from(["", *ANCHORS]),
)
def test_the_product_stays_whole_within_the_safe_edges(
    product: tuple[int, int], sides: tuple[int, int], safe: tuple[float, float, float, float], anchor: str
) -> None:
    (w, h), (width, height) = product, sides
    slot = Placement("slot", width, height, safe=safe)
    solid = CutOut(np.full((h, w, 3), 99, np.uint8), np.ones((h, w), np.float32), "0" * 64, GREY)
    placed = place(solid, slot, anchor)
    top, bottom, left, right = box(placed.alpha)
    tall, wide = bottom - top, right - left
    assert safe[0] * width <= left
    assert right <= max((1 - safe[2]) * width, left + 1)
    assert safe[1] * height <= top
    assert bottom <= max((1 - safe[3]) * height, top + 1)
    # A slot's shadow falls on what is left below the floor line: the product must not stand lower.
    assert bottom <= max(frame_for(slot, anchor).floor * height + 1, top + 1)
    assert (placed.alpha[top:bottom, left:right] == 1).all()
    assert tall <= max(1, round(h * MAX_ENLARGEMENT))
    assert wide <= max(1, round(w * MAX_ENLARGEMENT))
    scale = max(tall / h, wide / w)
    assert abs(tall - h * scale) <= max(1.0, h / w)
    assert abs(wide - w * scale) <= max(1.0, w / h)


@pytest.mark.parametrize("sides", [(728, 90), (320, 50), (160, 600), (60, 600), (4096, 410), (600, 600), (540, 960)])
def test_the_product_is_large_enough_for_the_gate_in_slots_of_every_shape(sides: tuple[int, int]) -> None:
    slot = Placement("slot", *sides)
    for product in (cutout(400, 460), cutout(600, 300), cutout(200, 600)):
        top, bottom, left, right = box(place(product, slot).alpha)
        assert max((bottom - top) / slot.height, (right - left) / slot.width) > 0.5


@pytest.mark.parametrize("sides", [(600, 600), (970, 250), (728, 90), (540, 960), (160, 600)])
def test_anchors_move_the_product_and_keep_a_margin(sides: tuple[int, int]) -> None:
    slot, centres = Placement("slot", *sides), []
    for anchor in ANCHORS:
        _, _, left, right = box(place(cutout(400, 460), slot, anchor).alpha)
        assert left >= 0.05 * slot.width
        assert right <= 0.95 * slot.width
        centres.append((left + right) / 2 / slot.width)
    assert centres[0] < 0.42 < centres[1] < 0.58 < centres[2]
    assert abs(centres[0] + centres[2] - 1) < 0.03


def test_an_unknown_anchor_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"'top'.*left, centre, right"):
        frame_for(Placement("slot", 100, 100), "top")


def test_an_unsafe_edge_moves_and_shrinks_the_product() -> None:
    plain = place(cutout(400, 460), Placement("story", 540, 960))
    safe = place(cutout(400, 460), Placement("story", 540, 960, safe=(0.0, 0.1, 0.0, 0.25)))
    assert box(safe.alpha)[1] < 0.75 * 960 < box(plain.alpha)[1]
    assert safe.alpha.sum() < plain.alpha.sum()
