"""Painting what can be painted: a batch that fails is halved until the request that fails is alone."""

import sys
from collections.abc import Sequence

from contracts import BackdropError, SetupError
from generation.arrays import Pixels
from generation.backend import Backend, RenderRequest

OUT_OF_MEMORY = "out_of_memory"
RENDER_FAILED = "render_failed"


class PaintError(BackdropError):
    """One picture could not be made: ``reason`` is a short code, ``detail`` the sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep both as arguments, so that it passes between processes."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return self.detail

    @classmethod
    def of(cls, error: Exception) -> "PaintError":
        """Why a picture could not be made, by what a model or library raised."""
        if isinstance(error, PaintError):
            return error
        return cls(OUT_OF_MEMORY if is_memory(error) else RENDER_FAILED, f"{type(error).__name__}: {error}")


class SteadyPainter:
    """A backend whose errors are those of single requests; once memory ran out, batches stay smaller."""

    def __init__(self, backend: Backend) -> None:
        """Paint with ``backend``."""
        self._backend = backend
        self._most = sys.maxsize

    def paint(self, requests: Sequence[RenderRequest]) -> list[Pixels | PaintError]:
        """For each request, in order, its background or why there is none.

        Raises:
            SetupError: if the backend itself cannot be used.
        """
        done: list[Pixels | PaintError] = []
        while len(done) < len(requests):
            done += self._part(requests[len(done) : len(done) + self._most])
        return done

    def _part(self, requests: Sequence[RenderRequest]) -> list[Pixels | PaintError]:
        try:
            return [*self._backend.render(requests)]
        except SetupError:
            # A model that cannot be loaded is no picture's fault.
            raise
        except Exception as error:
            if len(requests) == 1:
                return [PaintError.of(error)]
            memory = is_memory(error)
        # Out of the handler: what the failed batch holds is let go with its traceback.
        half = len(requests) // 2
        if memory:
            self._most = max(1, min(self._most, half))
            _release()
        return self.paint(requests[:half]) + self.paint(requests[half:])


def is_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out; torch's own class is told by its name, torch is not imported."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _release() -> None:
    """Give a GPU back what torch keeps for later."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
