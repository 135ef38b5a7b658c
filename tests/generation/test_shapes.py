import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from generation.shapes import Shape, grown, shrunk


def slow_grown(shape: Shape, radius: int) -> Shape:
    out = np.zeros_like(shape)
    for y, x in np.argwhere(shape):
        out[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = True
    return out


shapes = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@given(shapes, st.integers(0, 30))
def test_growing_is_dilation_by_a_square(shape: Shape, radius: int) -> None:
    assert (grown(shape, radius) == slow_grown(shape, radius)).all()


@given(shapes, st.integers(0, 8))
def test_shrinking_is_growing_the_rest(shape: Shape, radius: int) -> None:
    assert (shrunk(shape, radius) == ~slow_grown(~shape, radius)).all()
