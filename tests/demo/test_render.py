"""The renderer behind the catalogue's photos, on small meshes."""

import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from contracts.errors import FormatError, InvalidInputError
from demo.render import Material, Mesh, Shot, finished, main, open_library, photograph, read_obj, read_recipe
from demo.render.camera import frame
from demo.render.colour import to_display, to_linear, tone_map
from demo.render.light import shadow_map
from demo.render.mesh import Floats, corner_normals, face_normals, fit_to
from demo.render.raster import Visibility, rasterise
from demo.render.recipe import Finish

CUBE = b"""
mtllib cube.mtl
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl red
f 1 2 3 4
f 5/1 6/2 7/3 8/4
f 1 2 6 5
f -6 -5 -1 -2
f 1 4 8 5
usemtl blue
f 2//1 3//1 7//1 6//1
"""
MATERIALS = b"newmtl red\nKd 0.8 0.1 0.1\nKs 0.5 0.5 0.5\nNs 90\nd 1\nnewmtl blue\nKd 0.1 0.1 0.8\n"


def cube() -> Mesh:
    return fit_to(read_obj({"m/cube.obj": CUBE, "m/cube.mtl": MATERIALS}, "m/cube.obj"), 40, 40, 40)


def test_obj_becomes_triangles_with_materials() -> None:
    mesh = read_obj({"m/cube.obj": CUBE, "m/cube.mtl": MATERIALS}, "m/cube.obj")
    assert mesh.corners.shape == (12, 3)
    assert [material.name for material in mesh.materials] == ["red", "blue"]
    assert mesh.materials[0].colour == (0.8, 0.1, 0.1)
    assert mesh.material.tolist() == [0] * 10 + [1] * 2
    assert mesh.uv[2].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert mesh.uv[0].tolist() == [[0, 0]] * 3
    area = np.linalg.norm(np.cross(*np.diff(mesh.triangles, axis=1).transpose(1, 0, 2)), axis=1) / 2
    assert area.sum() == pytest.approx(6.0)


@pytest.mark.parametrize(
    "text", [b"v 0 0 0\n", b"v 0 0 0\nf 1 2 3\n", b"v 0 0 x\nf 1 1 1\n", b"v 0 0 0\nf 1/9 1/9 1/9\n"]
)
def test_damaged_obj_is_named(text: bytes) -> None:
    with pytest.raises(FormatError, match=r"a\.obj"):
        read_obj({"a.obj": text}, "a.obj")


def test_fit_to_stands_on_the_floor_in_the_middle() -> None:
    points = fit_to(cube(), 10, 20, 30).points
    assert points.min(axis=0).tolist() == pytest.approx([-5, 0, -10])
    assert points.max(axis=0).tolist() == pytest.approx([5, 30, 10])


def test_normals_are_flat_below_the_crease_and_smooth_above() -> None:
    roof = b"v -1 0 0\nv -1 0 1\nv 0 .5 0\nv 0 .5 1\nv 1 0 0\nv 1 0 1\nf 1 2 4 3\nf 3 4 6 5\n"
    mesh = read_obj({"roof.obj": roof}, "roof.obj")
    flat, smooth = corner_normals(mesh, 40), corner_normals(mesh, 60)
    assert np.allclose(flat, face_normals(mesh)[:, None])
    on_ridge = mesh.triangles[..., 1] > 0
    assert np.allclose(np.abs(smooth[on_ridge][:, 1]), 1, atol=0.06)
    assert np.allclose(smooth[~on_ridge], flat[~on_ridge])


def test_normals_do_not_mind_a_face_wound_the_other_way() -> None:
    mesh = cube()
    turned = mesh.corners.copy()
    turned[1] = turned[1][::-1]
    other = Mesh(mesh.points, turned, mesh.uv, mesh.material, mesh.materials)
    before, after = corner_normals(mesh, 40), corner_normals(other, 40)
    assert np.allclose(np.abs(np.einsum("tcd,tcd->tc", before[[0, 2]], after[[0, 2]])), 1)


def slow_rasterise(screen: Floats, depth: Floats, size: int, *, perspective: bool) -> Visibility:
    triangle, nearest = np.full((size, size), -1), np.full((size, size), np.inf)
    for row in range(size):
        for column in range(size):
            for index, (a, b, c) in enumerate(screen):
                system = np.array([[a[0], b[0], c[0]], [a[1], b[1], c[1]], [1, 1, 1]])
                if abs(np.linalg.det(system)) < 1e-9:
                    continue
                weights = np.linalg.solve(system, [column + 0.5, row + 0.5, 1])
                z = 1 / (weights @ (1 / depth[index])) if perspective else weights @ depth[index]
                if weights.min() >= 0 and np.float32(z) < nearest[row, column]:
                    triangle[row, column], nearest[row, column] = index, np.float32(z)
    return Visibility(triangle, nearest.astype(np.float32))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 8), perspective=st.booleans())
def test_rasterise_agrees_with_the_oracle(seed: int, count: int, perspective: bool) -> None:
    rng = np.random.default_rng(seed)
    screen, depth = rng.uniform(-6, 18, (count, 3, 2)), rng.uniform(1, 5, (count, 3))
    fast, slow = (
        rasterise(screen, depth, 12, 12, perspective=perspective),
        slow_rasterise(screen, depth, 12, perspective=perspective),
    )
    same = fast.triangle == slow.triangle
    assert same.mean() > 0.99
    assert np.allclose(fast.depth[same & (fast.triangle >= 0)], slow.depth[same & (slow.triangle >= 0)], rtol=1e-4)


def test_rasterise_leaves_out_what_is_behind_and_what_keep_drops() -> None:
    screen = np.array([[[-5.0, -5], [30, -5], [-5, 30]]] * 3)
    depth = np.array([[-1.0, 1, 1], [2, 2, 2], [3, 3, 3]])
    assert (rasterise(screen, depth, 8, 8, perspective=True).triangle == 1).all()
    third = rasterise(screen, depth, 8, 8, perspective=True, keep=lambda owner, _: owner != 1)
    assert (third.triangle == 2).all()
    assert np.allclose(third.depth, 3)


@settings(max_examples=40, deadline=None)
@given(
    yaw=st.floats(-180, 180),
    elevation=st.floats(-10, 70),
    width=st.floats(5, 300),
    depth=st.floats(5, 300),
    height=st.floats(5, 300),
)
def test_the_frame_holds_the_whole_product(
    yaw: float, elevation: float, width: float, depth: float, height: float
) -> None:
    points = fit_to(cube(), width, depth, height).points
    pixels, z = frame(points, yaw, elevation, 500, 0.7).project(points)
    assert z.min() > 0
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    assert (high - low).max() == pytest.approx(350)
    assert ((low + high) / 2).tolist() == pytest.approx([250, 250])


def test_rays_go_through_the_pixels_they_came_from() -> None:
    camera = frame(cube().points, 30, 20, 500, 0.7)
    x, y = np.array([10.0, 400.0]), np.array([250.0, 33.0])
    pixels, _ = camera.project(camera.position + 7 * camera.rays(x, y))
    assert np.allclose(pixels, np.stack([x, y], axis=1))


def test_a_lamp_overhead_leaves_the_floor_below_the_cube_dark() -> None:
    shadow = shadow_map(cube(), np.array([0.0, 1.0, 0.0]))
    points = np.array([[0.0, 0, 0], [0, 40, 0], [60, 0, 0], [5000, 0, 0]])
    assert shadow.lit(points, np.tile([0.0, 1.0, 0.0], (4, 1))).tolist() == [0, 1, 1, 1]


@given(st.floats(0, 1))
def test_display_and_linear_are_inverse(value: float) -> None:
    assert float(to_display(to_linear(np.array(value)))) == pytest.approx(value, abs=1e-6)


def test_tone_map_keeps_dark_and_middle_and_never_burns_out() -> None:
    light = np.linspace(0, 20, 2001)
    mapped = tone_map(light)
    assert np.array_equal(mapped[light <= 0.7], light[light <= 0.7])
    assert (np.diff(mapped) >= 0).all()
    assert mapped.max() <= 1


def test_a_photo_is_the_same_each_time_and_shows_the_cube() -> None:
    shot = Shot(yaw_deg=-30)
    first, second = photograph(cube(), shot, 96), photograph(cube(), shot, 96)
    assert first.tobytes() == second.tobytes()
    pixels = np.asarray(first, np.int64)
    red, green, blue = pixels.transpose(2, 0, 1)
    product = (red - green > 40) & (red - blue > 40)
    assert pixels.shape == (96, 96, 3)
    assert 0.2 < product.mean() < 0.7
    rows, columns = np.nonzero(product)
    assert rows.min() > 5
    assert rows.max() < 91
    assert columns.min() > 5
    assert columns.max() < 91
    assert np.ptp(pixels[0], axis=1).max() <= 2


def test_a_transparent_material_lets_the_backdrop_through() -> None:
    glass = finished(cube(), {"red": Finish(opacity=0.15, colour=(1.0, 0.0, 0.0)), "blue": Finish(opacity=0.15)})
    solid = np.asarray(photograph(cube(), Shot(), 64), np.int64)[32, 32]
    clear = np.asarray(photograph(glass, Shot(), 64), np.int64)[32, 32]
    assert clear[1] > solid[1] + 40


def test_finishes_change_named_materials_only() -> None:
    mesh = finished(cube(), {"blue": Finish(colour=(0.0, 1.0, 0.0), metal=True)})
    assert mesh.materials[0] == cube().materials[0]
    assert (mesh.materials[1].colour, mesh.materials[1].metal) == ((0.0, 1.0, 0.0), True)
    assert isinstance(mesh.materials[1], Material)
    with pytest.raises(InvalidInputError, match="no material gold"):
        finished(cube(), {"gold": Finish()})


PRODUCT = """
  - id: {id}
    model: cube
    category: toys
    title: A Cube
    description: Six equal sides.
    price: 3.5
    brand: Plato
    shot: {{yaw_deg: 30}}
    finishes: {{blue: {{colour: "#00ff00"}}}}
"""
INDEX = """
id#1=x
name#1=Cube
creator#1=Nobody
model#1=/set/cube/cube.obj
width#1=40
depth#1=40
height#1=40
modelRotation#1=1 0 0 0 1 0 0 0 1
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.sh3f"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", INDEX)
        archive.writestr("set/cube/cube.obj", CUBE)
        archive.writestr("set/cube/cube.mtl", MATERIALS)
        archive.writestr("set/cube/License.html", "<b>CC0</b> http://www.blendswap.com/blends/view/7")
    return path


def test_a_catalogue_is_made_from_a_library_and_a_recipe(tmp_path: Path, library: Path) -> None:
    recipe = tmp_path / "products.yaml"
    recipe.write_text("version: 1\nproducts:" + PRODUCT.format(id="cube-a") + PRODUCT.format(id="cube-b"))
    out = tmp_path / "catalogue"
    main(["--library", str(library), "--recipe", str(recipe), "--out", str(out), "--size", "48"])
    rows = pq.read_table(out / "products.parquet").to_pylist()
    assert [row["item_id"] for row in rows] == ["cube-a", "cube-b"]
    with Image.open(out / rows[0]["image_uri"]) as image:
        assert image.size == (48, 48)
    assert "| cube-a | Cube (`cube`) | Nobody | blendswap.com/blends/view/7 |" in (out / "NOTICE.md").read_text()
    before = (out / "photos/cube-b.jpg").read_bytes()
    (out / "photos/cube-a.jpg").unlink()
    main(["--library", str(library), "--recipe", str(recipe), "--out", str(out), "--size", "48", "--only", "cube-b"])
    assert (out / "photos/cube-b.jpg").read_bytes() == before
    assert not (out / "photos/cube-a.jpg").exists()


BORROW = """
borrow:
  recipe: products.yaml
  folder: ../theirs
  products:
    cube-a: {category: blocks, colour: green}
"""


def test_a_recipe_may_borrow_photos_of_another(tmp_path: Path, library: Path) -> None:
    (tmp_path / "products.yaml").write_text("version: 1\nproducts:" + PRODUCT.format(id="cube-a"))
    recipe = tmp_path / "more.yaml"
    own = PRODUCT.format(id="cube-b").replace("    price:", "    library: tiny\n    material: stone\n    price:")
    recipe.write_text("version: 1" + BORROW + "products:" + own)
    out = tmp_path / "catalogue"
    main(["--library", str(library), "--recipe", str(recipe), "--out", str(out), "--size", "48"])
    rows = pq.read_table(out / "products.parquet").to_pylist()
    assert [(row["item_id"], row["category"], row["image_uri"]) for row in rows] == [
        ("cube-a", "blocks", "../theirs/photos/cube-a.jpg"),
        ("cube-b", "toys", "photos/cube-b.jpg"),
    ]
    assert [(row["colour"], row["material"]) for row in rows] == [("green", None), (None, "stone")]
    assert [path.name for path in (out / "photos").iterdir()] == ["cube-b.jpg"]
    assert (out / "NOTICE.md").read_text().count("CC0 1.0 |") == 2

    recipe.write_text("version: 1" + BORROW.replace("cube-a", "cube-z") + "products: []\n")
    with pytest.raises(InvalidInputError, match="no product 'cube-z' to borrow"):
        read_recipe(recipe)
    recipe.write_text("version: 1\nproducts:" + own.replace("tiny", "huge"))
    with pytest.raises(InvalidInputError, match=r"huge\.sh3f: give it with --library"):
        main(["--library", str(library), "--recipe", str(recipe), "--out", str(out), "--size", "48"])


def with_licence(folder: Path, text: str) -> Path:
    path = folder / "licensed.sh3f"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", INDEX)
        archive.writestr("set/cube/License.html", text)
        archive.writestr("LICENSE.TXT", "https://creativecommons.org/publicdomain/zero/1.0/")
    return path


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ('<a href="http://creativecommons.org/licenses/by/3.0/">CC-BY</a>', "CC BY 3.0"),
        ("Released under Creative Commons Attribution 3.0", "CC BY 3.0"),
        ("released as CC-Zero", "CC0 1.0"),
        ("", None),
        ("All rights reserved", None),
        ("CC0, but see licenses/by/3.0", None),
        ("Creative Commons Attribution 3.0 NonCommercial", None),
        ("http://creativecommons.org/licenses/by-sa/3.0/", None),
    ],
)
def test_a_model_s_own_licence_counts(tmp_path: Path, text: str, terms: str | None) -> None:
    library = open_library(with_licence(tmp_path, text))
    if terms is not None:
        assert library.terms("cube") == terms
    else:
        with pytest.raises(InvalidInputError, match="take another model"):
            library.terms("cube")


def test_a_model_without_a_licence_text_is_under_the_library_s(tmp_path: Path, library: Path) -> None:
    path = tmp_path / "plain.sh3f"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", INDEX)
        archive.writestr("LICENSE.TXT", "Creative Commons Attribution 3.0 Unported")
    assert open_library(path).terms("cube") == "CC BY 3.0"


def test_a_missing_library_or_model_says_what_to_do(tmp_path: Path, library: Path) -> None:
    with pytest.raises(InvalidInputError, match="sweethome3d-furniture"):
        open_library(tmp_path / "nowhere.sh3f")
    with pytest.raises(InvalidInputError, match="no model 'sphere'"):
        open_library(library).load("sphere")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("version: 2\nproducts: []\n", "version 2"),
        ("version: 1\nproducts:" + 2 * PRODUCT.format(id="a"), "more than once"),
        ("version: 1\nproducts:" + PRODUCT.format(id="a").replace("price: 3.5", "price: cheap"), "'a'"),
        ("version: 1\nproducts:" + PRODUCT.format(id="a").replace("yaw_deg", "yaw"), "'a'"),
        ("version: 1\nproducts:" + PRODUCT.format(id="a").replace("#00ff00", "#00ff"), "'a'"),
    ],
)
def test_a_bad_recipe_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "products.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=complaint):
        read_recipe(path)
