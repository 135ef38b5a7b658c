"""Placements: the YAML file that says for which slots to paint."""

from pathlib import Path

from contracts import InvalidInputError, Placement, check_name
from generation.document import read_document
from generation.encode import FILE_FORMATS

MIN_SLOT, MAX_SLOT = 32, 4_096
# The product needs most of the slot's width and of its height.
MAX_SAFE = 0.45


def read_placements(path: Path) -> tuple[Placement, ...]:
    """Read ``placements.yaml``: version 1, list of {placement, width, height, position, description, safe, format}.

    ``safe`` is a mapping of ``left``, ``top``, ``right``, ``bottom`` to shares of the slot, 0 where not named.

    Raises:
        InvalidInputError: naming the file, the place and the rule that is broken.
    """
    entries = read_document(path, "placements")["placements"]
    if not isinstance(entries, list) or not entries:
        message = f"{path}: 'placements' must be a list of at least one placement"
        raise InvalidInputError(message)
    placements = tuple(_placement(path, entry) for entry in entries)
    names = [placement.placement for placement in placements]
    if len(set(names)) < len(names):
        message = f"{path}: a placement is named twice: {sorted(n for n in names if names.count(n) > 1)}"
        raise InvalidInputError(message)
    return placements


def _placement(path: Path, entry: object) -> Placement:
    if not isinstance(entry, dict):
        message = f"{path}: placement {entry!r} is not a mapping with 'placement', 'width' and 'height'"
        raise InvalidInputError(message)
    name = check_name("placement", str(entry.get("placement", "")))
    sides = []
    for side in ("width", "height"):
        value = entry.get(side)
        if not isinstance(value, int) or isinstance(value, bool) or not MIN_SLOT <= value <= MAX_SLOT:
            message = f"{path}: {side} of placement {name!r} is {value!r}, it must be {MIN_SLOT} to {MAX_SLOT} pixels"
            raise InvalidInputError(message)
        sides.append(value)
    form = str(entry.get("format") or "jpeg")
    if form not in FILE_FORMATS:
        message = f"{path}: format of placement {name!r} is {form!r}: use one of {', '.join(FILE_FORMATS)}"
        raise InvalidInputError(message)
    return Placement(
        name,
        sides[0],
        sides[1],
        str(entry.get("position") or ""),
        str(entry.get("description") or ""),
        _safe(path, name, entry.get("safe")),
        form,
    )


def _safe(path: Path, name: str, value: object) -> tuple[float, float, float, float]:
    edges = {"left": 0.0, "top": 0.0, "right": 0.0, "bottom": 0.0}
    given = {} if value is None else value
    if not isinstance(given, dict) or not given.keys() <= edges.keys():
        message = f"{path}: safe of placement {name!r} is {value!r}, not a mapping of {', '.join(edges)} to shares"
        raise InvalidInputError(message)
    for edge, share in given.items():
        if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= MAX_SAFE:
            message = f"{path}: safe {edge} of placement {name!r} is {share!r}, it must be a share, 0 to {MAX_SAFE}"
            raise InvalidInputError(message)
        edges[edge] = float(share)
    return edges["left"], edges["top"], edges["right"], edges["bottom"]
