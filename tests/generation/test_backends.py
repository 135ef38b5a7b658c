"""One suite for every backend: sizes, determinism, batches, and product pixels that stay as they are."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts import Placement, Prompt, SettingsError, SetupError
from generation import Backend, PromptError, RenderRequest, composite, open_backend, place
from tests.generation.studio import PROMPTS, cutout

SLOTS = (Placement("square", 96, 96), Placement("banner", 160, 64), Placement("odd", 75, 101))


@pytest.fixture
def tiny_model(models: dict[str, Path]) -> Path:
    return models["sd-4"]


@pytest.fixture(params=["procedural", "sd-4", "sd-9", "xl-4", "xl-9"])
def opened(request: pytest.FixtureRequest, models: dict[str, Path]) -> Callable[[], Backend]:
    if request.param == "procedural":
        return lambda: open_backend("procedural", {})
    options = {"model": str(models[request.param]), "steps": "2", "side": "64", "batch": "3"}
    return lambda: open_backend("diffusers", options)


@pytest.fixture
def backend(opened: Callable[[], Backend]) -> Backend:
    return opened()


def requests(seed: int = 7) -> list[RenderRequest]:
    product = cutout()
    return [RenderRequest(place(product, slot), prompt, seed + i) for i, prompt in enumerate(PROMPTS) for slot in SLOTS]


def test_backgrounds_have_the_slots_size(backend: Backend) -> None:
    wanted = requests()
    pictures = backend.render(wanted)
    assert [picture.shape for picture in pictures] == [request.placed.rgb.shape for request in wanted]
    assert all(picture.dtype == np.uint8 for picture in pictures)
    assert backend.render([]) == []


def test_product_pixels_are_unchanged(backend: Backend) -> None:
    for request, background in zip(requests(), backend.render(requests()), strict=True):
        opaque = request.placed.alpha >= 1
        assert opaque.any()
        assert (composite(background, request.placed)[opaque] == request.placed.rgb[opaque]).all()


def test_equal_requests_give_equal_pixels(backend: Backend, opened: Callable[[], Backend]) -> None:
    first, again = backend.render(requests()), backend.render(requests())
    fresh = opened().render(requests())
    for a, b, c in zip(first, again, fresh, strict=True):
        assert (a == b).all()
        assert (a == c).all()


def test_a_batch_gives_what_single_requests_give(backend: Backend) -> None:
    together = backend.render(requests())
    alone = [backend.render([request])[0] for request in requests()]
    for a, b in zip(together, alone, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_seed_and_prompt_matter(backend: Backend) -> None:
    base, other = requests(1)[0], requests(2)[0]
    another = RenderRequest(base.placed, PROMPTS[1], base.seed)
    a, b, c = backend.render([base, other, another])
    assert (a != b).any()
    assert (a != c).any()


def test_arguments_are_not_changed(backend: Backend) -> None:
    wanted = requests()[:1]
    rgb, alpha = wanted[0].placed.rgb.copy(), wanted[0].placed.alpha.copy()
    backend.render(wanted)
    assert (wanted[0].placed.rgb == rgb).all()
    assert (wanted[0].placed.alpha == alpha).all()


def test_a_prompt_is_taken_whole_or_refused(backend: Backend) -> None:
    base = requests()[0]
    backend.check(base.prompt)
    words = " ".join(["on oak in a garden"] * 40)
    for long in (replace(base.prompt, text=words), replace(base.prompt, negative=words)):
        if backend.name == "procedural":
            backend.check(long)
            continue
        with pytest.raises(PromptError, match=r"has \d{3} tokens, the model takes at most 77") as caught:
            backend.check(long)
        assert caught.value.reason == "prompt_too_long"
        with pytest.raises(PromptError, match="at most 77"):
            backend.render([base, replace(base, prompt=long)])


def test_the_budget_is_the_models_own_to_the_token(tiny_model: Path) -> None:
    backend = open_backend("diffusers", {"model": str(tiny_model), "guidance": "1"})
    # A word of the tokenizer's own and its two marks: 75 of them fit.
    full = Prompt("full", "seating", "oak " * 75, "oak " * 90)
    backend.check(full)
    with pytest.raises(PromptError, match="has 78 tokens"):
        backend.check(replace(full, text="oak " * 76))
    with pytest.raises(PromptError, match="negative of prompt seating/full has 92 tokens"):
        open_backend("diffusers", {"model": str(tiny_model)}).check(full)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("tokenizer/tokenizer.json", "tokenizer in"),
        ("tokenizer/tokenizer_config.json", "tokenizer in"),
        ("text_encoder/config.json", r"text_encoder/config\.json"),
    ],
)
def test_a_broken_tokenizer_is_named(tiny_model: Path, tmp_path: Path, broken: str, words: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    assert (folder / broken).is_file()
    for path in (folder / broken).parent.iterdir():
        path.write_bytes(b"{")
    with pytest.raises(SetupError, match=words):
        open_backend("diffusers", {"model": str(folder)}).check(PROMPTS[0])


def test_the_recipe_names_what_matters(tiny_model: Path) -> None:
    options = {"model": str(tiny_model), "steps": "2"}
    recipe = open_backend("diffusers", options).recipe
    assert recipe == open_backend("diffusers", {**options, "batch": "1"}).recipe
    assert recipe != open_backend("diffusers", {**options, "steps": "3"}).recipe
    assert open_backend("procedural", {}).name == "procedural"


def test_wrong_names_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not known"):
        open_backend("watercolour", {})
    with pytest.raises(SettingsError, match="takes no options"):
        open_backend("procedural", {"steps": "3"})
    with pytest.raises(SettingsError, match="model=FOLDER"):
        open_backend("diffusers", {})
    with pytest.raises(SettingsError, match="no number"):
        open_backend("diffusers", {"model": "x", "steps": "many"})
    with pytest.raises(SetupError, match="save_pretrained"):
        open_backend("diffusers", {"model": str(tmp_path)})


def test_a_model_with_a_damaged_file_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text().replace('"latent_channels": 4', '"latent_channels": 5'))
    # Whole files that do not fit together are found when they are loaded.
    unfit = open_backend("diffusers", {"model": str(folder), "side": "64"})
    with pytest.raises(SetupError, match="cannot be loaded"):
        unfit.render(requests()[:1])
    (folder / "unet" / "config.json").write_bytes(b"{")
    with pytest.raises(SetupError, match=r"unet/config\.json cannot be read"):
        open_backend("diffusers", {"model": str(folder)})
