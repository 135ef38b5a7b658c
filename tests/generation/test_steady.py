import pickle
from collections.abc import Sequence

import numpy as np
import pytest

from contracts import SetupError
from generation import PaintError, ProceduralBackend, RenderRequest, SteadyPainter
from generation.arrays import Pixels
from generation.layout import place
from tests.generation.studio import PROMPTS, SLOTS, cutout


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


class Small(ProceduralBackend):
    """Holds ``most`` pictures at once, and cannot paint those of an odd seed."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        self.sizes.append(len(requests))
        if len(requests) > self.most:
            raise OutOfMemoryError
        for request in requests:
            if request.seed % 2:
                message = f"odd {request.seed}"
                raise ValueError(message)
        return super().render(requests)


def requests(seeds: Sequence[int]) -> list[RenderRequest]:
    placed = place(cutout(), SLOTS[0])
    return [RenderRequest(placed, PROMPTS[0], seed) for seed in seeds]


def test_good_pictures_are_those_of_the_backend_and_each_bad_one_has_its_error() -> None:
    seeds = [2, 4, 5, 6, 9, 8]
    painted = SteadyPainter(Small(3)).paint(requests(seeds))
    alone = ProceduralBackend().render(requests([2, 4, 6, 8]))
    good = [each for each in painted if not isinstance(each, PaintError)]
    assert all(np.array_equal(a, b) for a, b in zip(good, alone, strict=True))
    errors = [(n, e.reason, e.detail) for n, e in enumerate(painted) if isinstance(e, PaintError)]
    assert errors == [(2, "render_failed", "ValueError: odd 5"), (4, "render_failed", "ValueError: odd 9")]


def test_batches_stay_small_once_memory_ran_out() -> None:
    backend = Small(3)
    painter = SteadyPainter(backend)
    painter.paint(requests([2] * 8))
    assert backend.sizes == [8, 4, 2, 2, 2, 2]
    painter.paint(requests([2] * 4))
    assert backend.sizes[6:] == [2, 2]


def test_a_model_that_cannot_be_loaded_is_no_pictures_fault() -> None:
    class Absent(ProceduralBackend):
        def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
            message = "unet is damaged"
            raise SetupError(message)

    with pytest.raises(SetupError, match="unet"):
        SteadyPainter(Absent()).paint(requests([2, 4]))


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError("CUDA out of memory")])
def test_errors_pass_between_processes(error: Exception) -> None:
    found = PaintError.of(error)
    again = pickle.loads(pickle.dumps(found))
    assert (again.reason, again.detail, str(again)) == ("out_of_memory", found.detail, found.detail)
    assert PaintError.of(found) is found
