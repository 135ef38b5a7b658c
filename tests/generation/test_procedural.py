from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import Placement, Prompt
from generation import TAGS, ProceduralBackend, RenderRequest, place
from generation.arrays import Floats, f32
from generation.procedural import tags_of
from generation.procedural.light import LIGHTS, look_of
from generation.procedural.materials import MATERIALS, Texture, TextureBox
from generation.procedural.noise import spectral
from generation.procedural.picture import stage_for
from generation.procedural.plane import Stage, first_row, render_ground
from generation.procedural.scenes import SCENES
from generation.procedural.shadow import find_feet, shade_of
from tests.generation.studio import cutout

SLOT = Placement("slot", 160, 120)


@pytest.fixture(scope="module")
def backend() -> ProceduralBackend:
    return ProceduralBackend()


def combinations() -> Iterator[dict[str, str]]:
    """Every surface, scene, light and mood at least once."""
    names = {kind: TAGS[kind] for kind in ("surface", "scene", "light", "mood")}
    for i in range(max(len(tags) for tags in names.values())):
        yield {kind: tags[i % len(tags)] for kind, tags in names.items()}


@pytest.mark.parametrize("tags", list(combinations()), ids=lambda tags: f"{tags['surface']}-{tags['scene']}")
def test_every_tag_paints_a_picture_with_something_in_it(backend: ProceduralBackend, tags: dict[str, str]) -> None:
    placed = place(cutout(), SLOT)
    (picture,) = backend.render([RenderRequest(placed, Prompt("arm", "c", "t", "", tags), 3)])
    assert picture.std() > 8
    assert 10 < picture.mean() < 240


def test_prompts_without_tags_are_read_from_their_words() -> None:
    tags = tags_of(Prompt("arm", "c", "a chair on walnut in a living room, golden hour"))
    assert tags["surface"] == "walnut"
    assert tags["scene"] == "living-room"
    assert tags["light"] == "golden-hour"
    assert tags["mood"] in TAGS["mood"]
    assert tags == tags_of(Prompt("arm", "c", "a chair on walnut in a living room, golden hour"))
    assert tags_of(Prompt("arm", "c", "on oak", "", {"surface": "sand"}))["surface"] == "sand"


def test_an_empty_slot_still_gets_a_background(backend: ProceduralBackend) -> None:
    from generation import Placed

    empty = Placed(np.zeros((80, 120, 3), np.uint8), np.zeros((80, 120), np.float32))
    (picture,) = backend.render([RenderRequest(empty, Prompt("arm", "c", "t"), 1)])
    assert picture.shape == (80, 120, 3)


def slow_ground(stage: Stage, texture: Texture, rows: range, column: int) -> list[float]:
    """The texture's first channel along one column, looked up point by point."""
    tile = texture.levels[0]
    size = tile.shape[0]
    out = []
    for row in rows:
        across, away = stage.ground(row + 0.5, column + 0.5)
        u = across / texture.scale * size
        v = away / texture.scale * size
        out.append(float(tile[int(np.floor(v)) % size, int(np.floor(u)) % size, 0]))
    return out


def test_the_ground_is_a_true_perspective_of_its_texture() -> None:
    # A tile so smooth that level of detail and interpolation do not matter.
    size = 256
    wave = np.sin(np.arange(size) / size * 2 * np.pi)
    tile = (127.5 + 60 * wave[:, None] * wave[None, :])[..., None].repeat(3, axis=2)
    levels = [tile]
    while len(levels) < 5:
        half = levels[-1].shape[0] // 2
        levels.append(levels[-1].reshape(half, 2, half, 2, 3).mean(axis=(1, 3)))
    texture = Texture(tuple((level + 0.5).astype(np.uint8) for level in levels), 0.0, 4.0, (0.5, 0.5, 0.5))
    stage = Stage(120, 100, floor=80.0, horizon=10.0, edge=45.0, focal=120.0, unit=50.0, centre=60.0, blur=0.5)
    picture = render_ground(stage, texture, (0.0, 0.0))
    top = first_row(stage)
    for column in (5, 60, 110):
        rows = range(50, 100)
        fast = [float(picture[row - top, column, 0] * 255) for row in rows]
        assert np.abs(np.array(fast) - slow_ground(stage, texture, rows, column)).max() < 8


@given(st.integers(0, 1000))
def test_noise_is_periodic_and_normalised(seed: int) -> None:
    field = spectral(np.random.default_rng(seed), 64, slope=3.0)
    assert abs(float(field.mean())) < 1e-3
    assert abs(float(field.std()) - 1) < 1e-3
    inner = np.abs(np.diff(field, axis=1)).max()
    assert np.abs(field[:, 0] - field[:, -1]).max() <= inner * 1.5


def silhouette(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (120, 160)) -> Floats:
    alpha = np.zeros(size, np.float32)
    for top, bottom, left, right in boxes:
        alpha[top:bottom, left:right] = 1
    return alpha


def test_feet_are_found_where_legs_end() -> None:
    chair = silhouette((20, 60, 50, 110), (60, 100, 50, 56), (60, 96, 104, 110), (60, 90, 70, 74))
    feet = find_feet(chair)
    assert feet is not None
    assert feet.base == 99
    assert feet.back == 89
    assert set(range(50, 56)) | set(range(70, 74)) | set(range(104, 110)) == set(feet.columns.tolist())
    assert find_feet(np.zeros((20, 20), np.float32)) is None


@pytest.mark.parametrize("light", sorted(LIGHTS))
def test_shade_is_darkest_at_the_feet_and_falls_away_from_the_light(light: str) -> None:
    box = silhouette((40, 100, 60, 100))
    feet = find_feet(box)
    assert feet is not None
    shade = shade_of(box, feet, look_of(light, "calm"), 0)
    assert shade.min() >= 0
    assert shade.max() <= 1 + 1e-6
    assert shade[100, 65:95].max() < 0.75
    assert shade[5, 5] > 0.99
    # The key light comes from the left.
    assert shade[92, 104:115].mean() < shade[92, 45:56].mean()


def test_the_camera_looks_at_the_product() -> None:
    stage = stage_for(silhouette((30, 100, 60, 100)))
    assert stage.horizon < stage.edge < stage.floor <= 100
    assert abs(stage.centre - 79.5) < 1
    assert float(stage.nearness(f32([stage.floor]))[0]) == pytest.approx(1.0)
    assert float(stage.blur_at(f32([stage.floor]))[0]) == pytest.approx(0.0)


def test_textures_are_made_once_and_tile() -> None:
    box = TextureBox(128)
    for name in MATERIALS:
        texture = box.get(name)
        assert texture is box.get(name)
        tile = texture.levels[0].astype(int)
        seam = np.abs(tile[:, 0] - tile[:, -1]).mean()
        inner = np.abs(np.diff(tile, axis=1)).mean()
        assert seam < 4 * inner + 4
        assert all(level.shape[0] == 128 >> k for k, level in enumerate(texture.levels))


def test_scenes_and_lights_are_complete() -> None:
    assert len(SCENES) == 10
    assert all(look_of(light, mood).exposure > 0 for light in LIGHTS for mood in TAGS["mood"])
