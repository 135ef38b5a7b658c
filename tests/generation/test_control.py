import numpy as np

from contracts import Placement
from generation import place
from generation.control import edge_map, paint_mask
from generation.diffusion import work_size
from tests.generation.studio import cutout

PLACED = place(cutout(), Placement("slot", 200, 180))


def test_edges_are_on_the_product_and_its_outline_only() -> None:
    edges = edge_map(PLACED)
    assert edges.shape == PLACED.alpha.shape
    assert edges.max() <= 1
    far = PLACED.alpha == 0
    far[1:-1, 1:-1] &= (PLACED.alpha[:-2, 1:-1] == 0) & (PLACED.alpha[2:, 1:-1] == 0)
    far[1:-1, 1:-1] &= (PLACED.alpha[1:-1, :-2] == 0) & (PLACED.alpha[1:-1, 2:] == 0)
    assert edges[np.roll(far, 1, 0) & np.roll(far, -1, 0) & far].max() < 0.02
    assert edges[(PLACED.alpha > 0.1) & (PLACED.alpha < 0.9)].mean() > 0.5


def test_the_model_paints_all_background_and_a_little_under_the_product() -> None:
    none, some = paint_mask(PLACED, 0), paint_mask(PLACED, 4)
    assert (none == (PLACED.alpha <= 0.5)).all()
    assert (some >= none).all()
    assert 0 < (some - none).sum() < (1 - none).sum()


def test_the_model_paints_at_multiples_of_eight() -> None:
    assert work_size(970, 250, 512) == (512, 128)
    assert work_size(64, 64, 512) == (64, 64)
    assert work_size(4000, 10, 512) == (512, 8)
