import json
import re
from html import unescape
from pathlib import Path

import pytest

from beam_pipelines.generate import gallery_of
from beam_pipelines.generate.manifest import ManifestRow, path_of, write_part
from contracts import InvalidInputError, Placement, Prompt
from generation import FILE_FORMATS, Creative, ProceduralBackend, Verdict, encode, specs_of
from stores import FileObjectStore
from tests.browser import needs_browser, page_at
from tests.generation.studio import PROMPTS, SLOTS, photo_pixels, product

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><!--"
REFUSED = Verdict(("halo",), {"halo": 7.25, "size": 0.5})
GOOD = Verdict((), {"halo": 1.0, "size": 0.5})


def fill(objects: FileObjectStore, items: tuple[str, ...] = ("chair", "stool"), text: str = "") -> list[ManifestRow]:
    """Creatives of some products; the first prompt's are refused."""
    prompts = [Prompt(p.arm, p.category, text or p.text, p.negative, p.tags) for p in PROMPTS]
    rows = []
    for item in items:
        for spec in specs_of(product(item), "ab" * 32, prompts, SLOTS, ProceduralBackend()):
            data = encode(photo_pixels(spec.width, spec.height), "jpeg")
            objects.put_if_absent(path_of(spec), data)
            verdict = Verdict((), {}) if spec.is_original else REFUSED if spec.arm == PROMPTS[0].arm else GOOD
            rows.append(ManifestRow.of(Creative(spec, data, verdict, 0 if verdict.passed else 2)))
    write_part(objects, rows)
    return rows


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def dom(page: str, folder: Path, view: str = "") -> str:
    """The page as the browser holds it, opened from disk; anything it complains of fails."""
    path = folder / "gallery.html"
    path.write_text(page, "utf-8")
    found, complaints = page_at(f"{path.as_uri()}#{view}", folder / "profile")
    assert complaints == ""
    return found


def shown(page: str) -> list[str]:
    return re.findall(r'<button class="picture [^>]*data-id="(\w+)"', page)


@needs_browser
def test_the_page_opens_from_disk_and_shows_every_picture(tmp_path: Path) -> None:
    rows = fill(FileObjectStore(tmp_path / "objects"))
    page = dom(gallery_of(FileObjectStore(tmp_path / "objects"), title="My & shop"), tmp_path)
    assert sorted(shown(page)) == sorted(row.creative_id for row in rows)
    assert len(re.findall(r'<img [^>]*src="data:image/webp;base64,', page)) == len(rows)
    assert "<h1>My &amp; shop</h1>" in page


@needs_browser
@pytest.mark.parametrize(
    ("view", "keeps"),
    [
        ("item=stool", lambda row: row.item_id == "stool"),
        ("verdict=rejected", lambda row: row.flagged),
        ("reason=halo&item=chair", lambda row: row.flagged and row.item_id == "chair"),
        (f"arm={PROMPTS[0].arm}&placement=square", lambda row: row.arm == PROMPTS[0].arm and row.placement == "square"),
        ("q=STOOL+original", lambda row: row.item_id == "stool" and row.arm == "original"),
        ("q=nothing-is-called-that", lambda row: False),
    ],
)
def test_a_link_leads_to_a_filtered_view(tmp_path: Path, view: str, keeps: object) -> None:
    assert callable(keeps)
    rows = fill(FileObjectStore(tmp_path / "objects"))
    page = dom(gallery_of(FileObjectStore(tmp_path / "objects")), tmp_path, view)
    assert sorted(shown(page)) == sorted(row.creative_id for row in rows if keeps(row))


@needs_browser
def test_a_picture_opens_with_its_numbers_its_seed_and_the_photo(tmp_path: Path) -> None:
    row = next(row for row in fill(FileObjectStore(tmp_path / "objects")) if row.flagged)
    page = dom(gallery_of(FileObjectStore(tmp_path / "objects")), tmp_path, f"open={row.creative_id}")
    view = page[page.index("<dialog") : page.index("</dialog>")]
    cells = [unescape(text) for text in re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", view)]
    assert cells[:6] == ["number", "measured", "passes", "halo", "7.25", "up to 3.5"]
    assert '<tr class="bad"><th scope="row">halo' in view
    assert f"3, seed {row.seed}" in view
    assert row.text in unescape(view)
    assert 'class="before"' in view


@needs_browser
def test_strangers_texts_stay_texts(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path / "objects")
    rows = fill(objects, text=HOSTILE)
    page = gallery_of(objects, title=HOSTILE, titles={"chair": HOSTILE, "stool": "%%DATA%%"})
    assert page.count("</script>") == 2
    held = dom(page, tmp_path, f"open={next(row for row in rows if row.flagged).creative_id}")
    assert "<title>owned</title>" not in held
    assert HOSTILE in unescape(re.sub(r'<script id="data".*?</script>', "", held, flags=re.DOTALL))
    assert len(shown(held)) == len(rows)


def test_rates_are_of_all_also_beyond_the_limit(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    rows = fill(objects, tuple(f"chair-{n}" for n in range(6)))
    a_product = len(rows) // 6
    data = data_of(gallery_of(objects, limit=2 * a_product))
    pictures = data["pictures"]
    assert isinstance(pictures, list)
    assert len(pictures) == 2 * a_product
    assert len({picture["item"] for picture in pictures}) == 2
    assert data["total"] == len(rows)
    painted = [row for row in rows if row.arm != "original"]
    rates = data["rates"]
    assert isinstance(rates, dict)
    refused = sum(row.flagged for row in painted)
    assert rates["all"] == [
        {
            "value": "all",
            "made": len(painted),
            "passed": len(painted) - refused,
            "at_once": len(painted) - refused,
            "reasons": [["halo", refused]],
        }
    ]
    assert rates["prompt"][0]["value"] == PROMPTS[0].arm
    assert rates["prompt"][0]["passed"] == 0


def test_what_is_named_comes_with_its_photo(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    fill(objects)
    page = data_of(gallery_of(objects, only=[PROMPTS[0].arm], placements=["square"]))
    pictures = page["pictures"]
    assert isinstance(pictures, list)
    assert {(p["item"], p["arm"], p["placement"]) for p in pictures} == {
        (item, arm, "square") for item in ("chair", "stool") for arm in ("original", PROMPTS[0].arm)
    }
    one = data_of(gallery_of(objects, only=["stool"]))["pictures"]
    assert isinstance(one, list)
    assert {p["item"] for p in one} == {"stool"}


def test_linked_pages_hold_no_pictures(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    row = fill(objects)[0]
    page = gallery_of(objects, link="objects/")
    assert "data:image" not in page
    assert f'"source":"objects/{row.path}"' in page


@needs_browser
def test_linked_pictures_are_loaded_from_beside_the_page(tmp_path: Path) -> None:
    row = fill(FileObjectStore(tmp_path / "objects"))[0]
    page = dom(gallery_of(FileObjectStore(tmp_path / "objects"), link="objects"), tmp_path, f"open={row.creative_id}")
    assert f'src="objects/{row.path}"' in page


@pytest.mark.parametrize("name", FILE_FORMATS)
def test_pictures_of_every_format_are_shown(tmp_path: Path, name: str) -> None:
    objects = FileObjectStore(tmp_path)
    slot = Placement("tile", 160, 160, format=name)
    spec = specs_of(product(), "ab" * 32, PROMPTS, [slot], ProceduralBackend())[1]
    data = encode(photo_pixels(160, 160), name)
    objects.put_if_absent(path_of(spec), data)
    write_part(objects, [ManifestRow.of(Creative(spec, data, GOOD, 0))])
    pictures = data_of(gallery_of(objects))["pictures"]
    assert isinstance(pictures, list)
    assert [picture["problem"] for picture in pictures] == [""]
    assert pictures[0]["source"].startswith("data:image/webp;base64,")


def test_a_picture_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path)
    first, second = fill(objects)[:2]
    (tmp_path / first.path).unlink()
    (tmp_path / second.path).write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    pictures = data_of(gallery_of(objects))["pictures"]
    assert isinstance(pictures, list)
    problems = {p["id"]: p["problem"] for p in pictures if p["problem"]}
    assert problems.keys() == {first.creative_id, second.creative_id}
    assert all("cannot be shown" in problem for problem in problems.values())


def test_nothing_to_show_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="run generate first"):
        gallery_of(FileObjectStore(tmp_path))
    with pytest.raises(InvalidInputError, match="a limit is 1 to 5000"):
        gallery_of(FileObjectStore(tmp_path), limit=0)
