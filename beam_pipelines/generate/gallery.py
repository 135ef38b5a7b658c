"""The gallery: what the manifest holds as one HTML page that opens from disk, to be judged by eye."""

import base64
import hashlib
import heapq
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from beam_pipelines.generate.gallery_page import page_of
from beam_pipelines.generate.manifest import ManifestRow, each_row
from beam_pipelines.generate.pass_rates import PassRates
from contracts import ORIGINAL_ARM, InvalidInputError, StoreError, UnavailableError
from generation import LIMITS
from stores import ObjectStore

MAX_PICTURES = 5_000
MAX_PICTURE_BYTES = 64 * 1024 * 1024
MAX_PICTURE_PIXELS = 40_000_000
# Embedded pictures in all, before base64: a page of up to about 64 MiB, which a browser still opens at once.
MAX_EMBEDDED_BYTES = 48 * 1024 * 1024
# Sides of embedded pictures: the larger one while they are few.
_SIDES = ((800, 480), (2_000, 320), (MAX_PICTURES, 240))
_QUALITY = 72


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is shown: rows in the page's order, how many there were, and the rates of all."""

    rows: tuple[ManifestRow, ...]
    total: int
    rates: PassRates


def gallery_of(
    objects: ObjectStore,
    *,
    title: str = "Creatives",
    placements: Collection[str] = (),
    only: Collection[str] = (),
    limit: int = MAX_PICTURES,
    link: str = "",
    titles: Mapping[str, str] | None = None,
) -> str:
    """An HTML page of the manifest's pictures, with filters, reasons and pass rates; it needs no other file.

    ``placements`` and ``only`` (items, categories, prompts) pick pictures, all if empty; beyond ``limit`` whole
    products are left out at random, and counted. With ``link`` (relative path or URL of the object store) the page
    refers to the full pictures instead of holding small ones. ``titles`` are the products' by item id.

    Raises:
        InvalidInputError: if ``limit`` is out of range or there is no such picture.
        UnavailableError: if the object store did not answer.
    """
    if not 1 <= limit <= MAX_PICTURES:
        message = f"a gallery of {limit} pictures cannot be made: a limit is 1 to {MAX_PICTURES}"
        raise InvalidInputError(message)
    chosen = _choose(each_row(objects), frozenset(placements), frozenset(only), limit)
    if not chosen.rows:
        message = f"no pictures of placements {sorted(placements)} and {sorted(only)} (empty: all): run generate first"
        raise InvalidInputError(message)
    side = next(side for most, side in _SIDES if len(chosen.rows) <= most)
    pictures, held = [], 0
    for row in chosen.rows:
        source, problem = (f"{link.rstrip('/')}/{row.path}", "") if link else _embedded(objects, row, side)
        held += 0 if link else len(source)
        if held > MAX_EMBEDDED_BYTES * 4 // 3:
            break
        pictures.append({**_plain(row, (titles or {}).get(row.item_id, "")), "source": source, "problem": problem})
    data = {
        "title": title,
        "total": chosen.total,
        "linked": bool(link),
        "limits": {name: list(pair) for name, pair in LIMITS.items()},
        "rates": chosen.rates.tables(),
        "pictures": pictures,
    }
    return page_of(title, data, linked=bool(link))


def _choose(rows: Iterable[ManifestRow], placements: Collection[str], only: frozenset[str], limit: int) -> _Chosen:
    rates, total = PassRates(), 0

    def wanted() -> Iterator[ManifestRow]:
        nonlocal total
        for row in rows:
            named = not only or bool(only & {row.item_id, row.category, row.arm})
            # The photo stays beside what was made of it.
            if (placements and row.placement not in placements) or not (named or row.arm == ORIGINAL_ARM):
                continue
            total += named
            rates.count(row)
            yield row

    kept = heapq.nsmallest(limit, wanted(), key=_by_chance)
    painted = {row.item_id for row in kept if row.arm != ORIGINAL_ARM}
    shown = [row for row in kept if not only or row.item_id in painted or only & {row.item_id, row.category, row.arm}]
    return _Chosen(tuple(sorted(shown, key=_by_product)), max(total, len(shown)), rates)


def _by_chance(row: ManifestRow) -> tuple[bytes, tuple[str, ...]]:
    return hashlib.sha256(row.item_id.encode()).digest()[:8], _by_product(row)


def _by_product(row: ManifestRow) -> tuple[str, ...]:
    return row.category, row.item_id, row.placement, "" if row.arm == ORIGINAL_ARM else row.arm, row.creative_id


def _plain(row: ManifestRow, title: str) -> dict[str, object]:
    return {
        "id": row.creative_id,
        "item": row.item_id,
        "title": title,
        "category": row.category,
        "arm": row.arm,
        "placement": row.placement,
        "width": row.width,
        "height": row.height,
        "bytes": row.bytes,
        "attempt": row.attempt,
        # As text: a seed may have more digits than a number of JavaScript's keeps.
        "seed": str(row.seed),
        "verdict": "photo" if row.arm == ORIGINAL_ARM else "rejected" if row.flagged else "passed",
        "reasons": list(row.reasons),
        "numbers": json.loads(row.numbers),
        "text": row.text,
        "negative": row.negative,
        "tags": json.loads(row.tags),
        "backend": row.backend,
        "recipe": row.recipe,
        "photo": row.image_sha256,
    }


def _embedded(objects: ObjectStore, row: ManifestRow, side: int) -> tuple[str, str]:
    """A small WebP as a data: URI, and what was wrong with the file ("": nothing)."""
    try:
        data = objects.get(row.path)
        small = _small(data, side)
    except UnavailableError:
        raise
    except (
        StoreError,
        InvalidInputError,
        OSError,
        ValueError,
        UnidentifiedImageError,
        Image.DecompressionBombError,
    ) as error:
        return "", f"{row.path} cannot be shown: {error}"
    return f"data:image/webp;base64,{base64.b64encode(small).decode()}", ""


def _small(data: bytes, side: int) -> bytes:
    """A picture file's pixels, at most ``side`` pixels a side, as WebP.

    Raises:
        InvalidInputError: if the file is larger than a creative can be.
    """
    if len(data) > MAX_PICTURE_BYTES:
        message = f"the file has {len(data)} bytes, the limit is {MAX_PICTURE_BYTES}"
        raise InvalidInputError(message)
    with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP", "AVIF")) as picture:
        if picture.width * picture.height > MAX_PICTURE_PIXELS:
            message = f"the picture has {picture.width} x {picture.height} pixels, the limit is {MAX_PICTURE_PIXELS}"
            raise InvalidInputError(message)
        picture.draft("RGB", (side, side))
        shown = picture.convert("RGB")
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    shown.save(out, "WEBP", quality=_QUALITY, method=2)
    return out.getvalue()
