"""The procedural backend as the rest of generation sees it."""

import hashlib
from collections.abc import Sequence

from contracts import Prompt
from generation.arrays import Pixels
from generation.backend import RenderRequest
from generation.procedural.materials import TextureBox
from generation.procedural.picture import paint_background
from generation.prompt_entry import TAGS, tags_said


class ProceduralBackend:
    """Paints from a prompt's tags; a tag that is missing is read from the prompt's words, else drawn from them."""

    def __init__(self) -> None:
        """Start without textures: each is painted when it is first needed."""
        self._textures = TextureBox()

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return "procedural"

    @property
    def recipe(self) -> str:
        """Version of the painting code."""
        return "procedural/1"

    def check(self, prompt: Prompt) -> None:
        """Take every prompt: nothing of it is cut."""

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        """Backgrounds u8[h, w, 3], in order."""
        return [
            paint_background(
                request.placed.rgb, request.placed.alpha, tags_of(request.prompt), request.seed, self._textures
            )
            for request in requests
        ]


def tags_of(prompt: Prompt) -> dict[str, str]:
    """Surface, scene, light and mood of a prompt: its tags, else words of its text, else a hash of the text."""
    given = {**tags_said(prompt.text), **prompt.tags}
    return {kind: given[kind] if kind in given else _drawn(kind, prompt.text) for kind in TAGS}


def _drawn(kind: str, text: str) -> str:
    digest = hashlib.sha256(f"{kind}:{text}".encode()).digest()
    return TAGS[kind][digest[0] % len(TAGS[kind])]
