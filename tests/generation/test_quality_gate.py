from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from contracts import Placement, SettingsError, SetupError
from generation import GateSettings, Placed, ProceduralBackend, RenderRequest, composite, open_gate, place
from generation.arrays import Floats, Pixels, f32
from tests.generation.studio import PROMPTS, cutout
from tests.generation.tiny_model import tiny_tokenizer

SLOT = Placement("square", 240, 240)
TEXT = "on oak in a garden"


class GivenMask:
    """A segmenter that finds what the test says is there, in the part of the slot that it is shown."""

    def __init__(self, shape: Floats, placed: Placed) -> None:
        self.shape = shape
        solid = placed.alpha > 0.5
        rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
        margin = round(0.6 * float(np.sqrt(solid.sum())))
        self.corner = (max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin))

    def mask(self, rgb: Pixels) -> Floats:
        top, left = self.corner
        return self.shape[top : top + rgb.shape[0], left : left + rgb.shape[1]]


@pytest.fixture(scope="module")
def placed() -> Placed:
    return place(cutout(120, 140), SLOT)


@pytest.fixture(scope="module")
def picture(placed: Placed) -> Pixels:
    return composite(ProceduralBackend().render([RenderRequest(placed, PROMPTS[0], 1)])[0], placed)


def test_a_mask_as_placed_passes_the_recut(picture: Pixels, placed: Placed) -> None:
    verdict = open_gate({"recut": "yes"}, GivenMask(placed.alpha, placed))(picture, placed, TEXT)
    assert verdict.passed, verdict
    assert verdict.numbers["recut_iou"] > 0.98
    assert verdict.numbers["recut_growth"] == 0.0
    assert verdict.numbers["second_object"] == 0.0


def test_a_grown_outline_and_a_second_object_are_refused_by_the_recut(picture: Pixels, placed: Placed) -> None:
    gate = {"recut": "yes"}
    taller = f32(np.maximum(placed.alpha, np.roll(placed.alpha, -45, 0)))
    grown = open_gate(gate, GivenMask(taller, placed))(picture, placed, TEXT)
    assert "recut_growth" in grown.reasons
    blob = placed.alpha.copy()
    blob[10:100, 5:45] = 1.0
    second = open_gate(gate, GivenMask(blob, placed))(picture, placed, TEXT)
    assert second.reasons == ("second_object",)


def test_without_options_no_segmenter_is_asked(picture: Pixels, placed: Placed) -> None:
    class Forbidden:
        def mask(self, rgb: Pixels) -> Floats:
            raise AssertionError

    assert "recut_iou" not in open_gate({}, Forbidden())(picture, placed, TEXT).numbers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recutt": "yes"}, "recutt"),
        ({"recut": "1"}, "use yes or no"),
        ({"nsfw_limit": "1.5"}, "0 to 1"),
        ({"clip_limit": "much"}, "no number"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        GateSettings.from_options(options)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    make: Any = transformers
    config = make.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=16,
        id2label={0: "normal", 1: "nsfw"}, label2id={"normal": 0, "nsfw": 1},
    )  # fmt: skip
    make.ViTForImageClassification(config).save_pretrained(folder)
    make.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    make: Any = transformers
    tokenizer = tiny_tokenizer(folder / "words")
    small: dict[str, int] = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
    }  # fmt: skip
    text = make.CLIPTextConfig(
        vocab_size=len(tokenizer), max_position_embeddings=16, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **small,
    )  # fmt: skip
    vision = make.CLIPVisionConfig(image_size=32, patch_size=16, **small)
    config = make.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8)
    make.CLIPModel(config).save_pretrained(folder)
    image = make.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    make.CLIPProcessor(image_processor=image, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def test_a_classifier_gives_its_probability_and_limit(picture: Pixels, placed: Placed, classifier: Path) -> None:
    options = {"nsfw": str(classifier)}
    open_to_all = open_gate({**options, "nsfw_limit": "1"}, GivenMask(placed.alpha, placed))(picture, placed, TEXT)
    other = open_gate({**options, "nsfw_label": "normal"}, GivenMask(placed.alpha, placed))(picture, placed, TEXT)
    assert open_to_all.passed
    assert 0 < open_to_all.numbers["nsfw"] < 1
    assert open_to_all.numbers["nsfw"] + other.numbers["nsfw"] == pytest.approx(1, abs=0.002)
    closed = open_gate({**options, "nsfw_limit": "0"}, GivenMask(placed.alpha, placed))(picture, placed, TEXT)
    assert closed.reasons == ("nsfw",)


def test_clip_agreement_depends_on_the_text(picture: Pixels, placed: Placed, clip: Path) -> None:
    gate = open_gate({"clip": str(clip), "clip_limit": "-1"}, GivenMask(placed.alpha, placed))
    one, other = (gate(picture, placed, text).numbers["agreement"] for text in (TEXT, "text and logos " * 40))
    assert -1 <= one <= 1
    assert one != other
    closed = open_gate({"clip": str(clip), "clip_limit": "1"}, GivenMask(placed.alpha, placed))
    assert closed(picture, placed, TEXT).reasons == ("agreement",)


def test_a_folder_without_such_a_model_is_named(placed: Placed, classifier: Path, tmp_path: Path) -> None:
    segmenter = GivenMask(placed.alpha, placed)
    with pytest.raises(SetupError, match="does not exist"):
        open_gate({"nsfw": str(tmp_path / "none")}, segmenter)
    with pytest.raises(SetupError, match="holds no"):
        open_gate({"clip": str(tmp_path)}, segmenter)
    with pytest.raises(SetupError, match="no class 'porn'"):
        open_gate({"nsfw": str(classifier), "nsfw_label": "porn"}, segmenter)
