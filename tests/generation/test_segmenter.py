"""Every named segmenter, through rembg's real class and onnxruntime, on a network of one layer."""

import hashlib
import socket
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from contracts import InvalidInputError, SetupError
from generation import SEGMENTERS, U2NETP, ProceduralBackend, RembgSegmenter, cut_out, cutout_recipe, decode_photo

from generation import check_weights, segmenter_model, specs_of  # isort: skip
from tests.generation.studio import PROMPTS, SLOTS, encoded, photo_pixels, product, truth

SIDE = dict.fromkeys(SEGMENTERS, 1024) | {"u2netp": 320, "u2net": 320, "silueta": 320}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("weights")
    return {side: reddish(folder / f"net{side}.onnx", side) for side in (320, 1024)}


def reddish(path: Path, side: int) -> Path:
    """A 1 × 1 convolution and a sigmoid that answer how red a pixel is, in the shapes of the real networks."""
    weights = np.array([60.0, -30.0, -30.0], np.float32).reshape(1, 3, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "weights", "bias"], ["redness"]),
            helper.make_node("Sigmoid", ["redness"], ["mask"]),
        ],
        "reddish",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, side, side])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel().tolist()),
            helper.make_tensor("bias", TensorProto.FLOAT, [1], [-14.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(model)
    return path


def digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_name_runs_with_weights_from_any_path(
    name: str, networks: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        message = "a segmenter must not open a connection"
        raise AssertionError(message)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    weights = networks[SIDE[name]]
    segmenter = RembgSegmenter(weights, model=segmenter_model(name, digest(weights), allow_non_commercial=True))
    mask = segmenter.mask(photo_pixels())
    assert mask.shape == (240, 240)
    assert mask.dtype == np.float32
    assert mask[truth() > 0.99].mean() > mask[truth() < 0.01].mean() + 0.2


def test_a_named_segmenter_cuts_a_product_out(networks: dict[int, Path]) -> None:
    weights = networks[1024]
    segmenter = RembgSegmenter(weights, model=segmenter_model("isnet-general-use", digest(weights)))
    cut = cut_out(decode_photo(encoded(photo_pixels())), segmenter)
    true = truth()[truth().max(axis=1) > 0.05][:, truth().max(axis=0) > 0.05]
    assert abs(float(cut.alpha.sum()) / float(true.sum()) - 1) < 0.03


def test_weights_of_another_file_or_none_are_refused(networks: dict[int, Path], tmp_path: Path) -> None:
    model = segmenter_model("birefnet-general-lite")
    with pytest.raises(SetupError, match=r"birefnet-general-lite are missing: set generate.segmenter_weights"):
        RembgSegmenter(tmp_path / "none.onnx", model=model)
    with pytest.raises(SetupError, match=r"md5:\w+\) is not birefnet-general-lite \(md5:4fab"):
        check_weights(networks[1024], model)


def test_a_file_that_is_no_network_is_refused_whatever_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"not a network")
    model = segmenter_model("u2net", digest(tmp_path / "text.onnx"))
    with pytest.raises(SetupError, match="does not load as u2net"):
        RembgSegmenter(tmp_path / "text.onnx", model=model)


def test_names_checksums_and_licences_are_checked() -> None:
    with pytest.raises(InvalidInputError, match="'sam' is unknown: use one of u2netp"):
        segmenter_model("sam")
    with pytest.raises(InvalidInputError, match="no checksum of 'birefnet-general-fp16' is known"):
        segmenter_model("birefnet-general-fp16")
    with pytest.raises(InvalidInputError, match="'md5:12' is neither"):
        segmenter_model("u2net", "md5:12")
    with pytest.raises(InvalidInputError, match="non-commercial use only"):
        segmenter_model("bria-rmbg")
    assert segmenter_model("bria-rmbg", allow_non_commercial=True).digest.startswith("sha256:5b48")


def test_another_segmenter_or_file_makes_other_pictures_of_the_prompts_only() -> None:
    def ids(recipe: str, *, original: bool) -> set[str]:
        specs = specs_of(product(), "ab" * 32, PROMPTS, SLOTS, ProceduralBackend(), recipe)
        return {spec.creative_id for spec in specs if spec.is_original == original}

    other_file = segmenter_model(checksum=f"md5:{'0' * 32}")
    recipes = [cutout_recipe(model) for model in (U2NETP, segmenter_model("u2net"), other_file)]
    assert len(set.union(*(ids(recipe, original=False) for recipe in recipes))) == 3 * len(PROMPTS) * len(SLOTS)
    assert len(set.union(*(ids(recipe, original=True) for recipe in recipes))) == len(SLOTS)
