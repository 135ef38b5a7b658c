"""What exists, against a plain set."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.generate import existing as module
from beam_pipelines.generate.creative_ids import packed
from beam_pipelines.generate.existing import FLAGGED, MISSING, PASSED, Existing, gather, open_existing, write_existing
from beam_pipelines.generate.manifest import ManifestRow, write_part
from generation import Creative, ProceduralBackend, Verdict, specs_of
from stores import FileObjectStore, ObjectStore, open_objects
from tests.generation.studio import PROMPTS, SLOTS, product
from tests.stores.fake_bucket import FakeBucketServer

SPECS = specs_of(product(), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend())
# Bytes at the edges of what a comparison could take for nothing, or for the end.
_BYTE = st.sampled_from(["00", "01", "7f", "80", "ff"])
IDS = st.lists(st.lists(_BYTE, min_size=16, max_size=16).map("".join), max_size=12, unique=True)


def existing(ids: list[str], flagged: set[str]) -> Existing:
    ordered = sorted(ids)
    return Existing(((packed(ordered), np.array([name in flagged for name in ordered], bool)),))


@pytest.fixture(params=["file", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    if request.param == "file":
        yield FileObjectStore(tmp_path)
        return
    with FakeBucketServer() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
        yield open_objects("gs://shop/backdrop")


@given(IDS.filter(bool), IDS, st.data())
def test_ids_are_found_exactly(ids: list[str], others: list[str], data: st.DataObject) -> None:
    flagged = set(data.draw(st.lists(st.sampled_from(ids))))
    expected = {name: FLAGGED if name in flagged else PASSED for name in ids}
    asked = [*others, *ids]
    assert existing(ids, flagged).states(asked).tolist() == [expected.get(name, MISSING) for name in asked]


def rows(flagged: bool, *ids: str) -> list[ManifestRow]:
    plain = ManifestRow.of(Creative(SPECS[0], b"x", Verdict(("halo",) if flagged else (), {}), 0))
    return [
        ManifestRow(**{**{n: getattr(plain, n) for n in plain.__dataclass_fields__}, "creative_id": i}) for i in ids
    ]


def test_a_creative_needs_its_row_and_its_picture(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [secrets.token_hex(16) for _ in range(40)] + ["00" * 16, "ff" * 16, "00" * 15 + "ff"]
    write_part(objects, rows(False, *ids[:20]))
    write_part(objects, rows(True, *ids[20:30], *ids[40:]))
    for name in [*ids[5:35], *ids[40:]]:
        objects.put(f"creatives/{name[:2]}/{name}.webp", b"x")
    objects.put(f"creatives/{ids[0][:2]}/notes.txt", b"no picture")
    found = gather(objects)
    expected = [MISSING] * 5 + [PASSED] * 15 + [FLAGGED] * 10 + [MISSING] * 10 + [FLAGGED] * 3
    assert found.states(ids).tolist() == expected
    assert len(found) == 28
    monkeypatch.setattr(module, "MOST_PER_PART", 10)
    split = gather(objects)
    assert len(split.parts) == 3
    paths = write_existing(split, objects, "plans/a/")
    assert open_existing(objects, paths).states(ids).tolist() == expected


def test_nothing_exists_in_an_empty_store(tmp_path: Path) -> None:
    found = gather(FileObjectStore(tmp_path))
    assert (len(found), found.states(["ab" * 16]).tolist()) == (0, [MISSING])
    assert write_existing(found, FileObjectStore(tmp_path), "p/") == ()
