"""The procedural backend: a perspective surface, a blurred scene, light and shadow, from numpy and Pillow alone."""

from generation.procedural.backend import ProceduralBackend, tags_of

__all__ = ["ProceduralBackend", "tags_of"]
