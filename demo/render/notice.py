"""Which library a product's model is from, and NOTICE.md: where every photo comes from, and under which licence."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.errors import InvalidInputError
from demo.render.models import Library, open_library
from demo.render.recipe import Entry

_CC0, _CC_BY = "CC0 1.0", "CC BY 3.0"
# What the libraries call themselves; one that is not listed goes by its file name.
_COLLECTIONS = {
    "BlendSwap-CC-0": "*Blend Swap CC-0* (`BlendSwap-CC-0.sh3f`)",
    "BlendSwap-CC-BY": "*Blend Swap CC-BY* (`BlendSwap-CC-BY.sh3f`)",
    "Scopia": "*Scopia* (`Scopia.sh3f`), © Emmanuel Puybaret / eTeks and Scopia Visual Interfaces Systems, s.l.",
}
# Where models without a number of blendswap.com are from.
_ORIGIN = {"Scopia": "scopia.es"}


def open_libraries(paths: Sequence[Path]) -> dict[str, Library]:
    """Furniture libraries by name, and the first under "", too."""
    named = {path.stem: open_library(path) for path in paths}
    return named | {"": next(iter(named.values()))}


def library_of(libraries: Mapping[str, Library], entry: Entry) -> Library:
    """The library that has a product's model.

    Raises:
        InvalidInputError: it was not opened.
    """
    if entry.library not in libraries:
        msg = f"{entry.product.item_id} needs {entry.library}.sh3f: give it with --library"
        raise InvalidInputError(msg)
    return libraries[entry.library]


def notice(libraries: Mapping[str, Library], entries: Sequence[Entry]) -> str:
    """The text of NOTICE.md.

    Raises:
        InvalidInputError: a model's terms are unknown, or ask for more than attribution.
    """
    rows, terms, used = [], set(), []
    for entry in entries:
        library = library_of(libraries, entry)
        model, licence = library.models[entry.model], library.terms(entry.model)
        terms.add(licence)
        used += [library.path.stem] if library.path.stem not in used else []
        number = re.search(r"blends/view/(\d+)", library.licence(entry.model))
        origin = f"blendswap.com/blends/view/{number[1]}" if number else _ORIGIN.get(library.path.stem, "blendswap.com")
        rows.append(
            f"| {entry.product.item_id} | {model.name} (`{model.key}`) | {model.creator} | {origin} | {licence} |"
        )
    collections = [f"- {_COLLECTIONS.get(name, f'`{name}.sh3f`')}" for name in used]
    lines = [
        "# Where the photos come from",
        "",
        "The photos were rendered by `demo/render` from 3-D models of these collections for Sweet Home 3D (version",
        "1.8, Debian's package `sweethome3d-furniture`), put together and converted by Emmanuel Puybaret / eTeks.",
        "`masks/` holds what of each photo is the product. The collections:",
        "",
        *collections,
        "",
        *_licences(terms),
        "",
        "Shops, brands, titles, descriptions and prices are invented.",
        "",
        "| photo | model | author | origin | licence |",
        "| --- | --- | --- | --- | --- |",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _licences(terms: set[str]) -> list[str]:
    free = [
        f"Models under {_CC0} (Creative Commons Zero, public domain; text in the demo catalogue's `CC0-1.0.txt`) ask",
        f"for no credit; it is given gladly. Their photos are under {_CC0}, too.",
    ]
    credited = [
        f"Models under {_CC_BY} (Creative Commons Attribution 3.0, creativecommons.org/licenses/by/3.0) are credited",
        "below. Changes: they were lit, photographed before a plain backdrop and, where `demo/render` says so, given",
        f"other colours. Their photos are under {_CC_BY}, too. No author endorses this project.",
    ]
    return [*(free if _CC0 in terms else []), *(credited if _CC_BY in terms else [])]
