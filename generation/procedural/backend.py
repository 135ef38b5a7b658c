"""The procedural backend as the rest of generation sees it."""

import hashlib
from collections.abc import Sequence

from contracts import Prompt
from generation.arrays import Pixels
from generation.backend import RenderRequest
from generation.procedural.materials import TextureBox
from generation.procedural.picture import paint_background
from generation.prompts import TAGS

_PAINTED = ("surface", "scene", "light", "mood")


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
    tags = {}
    for kind in _PAINTED:
        known = TAGS[kind]
        if kind in prompt.tags:
            tags[kind] = prompt.tags[kind]
            continue
        named = [tag for tag in known if tag in prompt.text or tag.replace("-", " ") in prompt.text]
        digest = hashlib.sha256(f"{kind}:{prompt.text}".encode()).digest()
        tags[kind] = named[0] if named else known[digest[0] % len(known)]
    return tags
