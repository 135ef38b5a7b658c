"""A small software renderer that photographs 3-D models for the demo catalogue."""

from demo.render.make_catalogue import main, photo
from demo.render.mesh import Material, Mesh
from demo.render.models import Library, open_library
from demo.render.recipe import Entry, finished, read_recipe
from demo.render.studio import Shot, photograph
from demo.render.wavefront import read_obj

__all__ = [
    "Entry",
    "Library",
    "Material",
    "Mesh",
    "Shot",
    "finished",
    "main",
    "open_library",
    "photo",
    "photograph",
    "read_obj",
    "read_recipe",
]
