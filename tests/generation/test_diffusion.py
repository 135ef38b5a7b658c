"""The diffusers backend against the library's own pipeline, and how often it runs each network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from contracts import Prompt, SettingsError
from generation import RenderRequest
from generation.diffusion import DiffusersBackend
from generation.diffusion_settings import DiffusionSettings
from tests.generation.diffusion_rig import MODELS, by_the_library, jobs, painter, requests, watched

# Schedulers of the library turn tensors into arrays in a way that numpy calls old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")

every_model = pytest.mark.parametrize("model", MODELS)


@every_model
@pytest.mark.parametrize(
    ("name", "scheduler", "changed"),
    [
        ("model", "DDIMScheduler", {}),
        ("dpm", "DPMSolverMultistepScheduler", {"control_end": 0.5}),
        ("euler", "EulerDiscreteScheduler", {"steps": 3}),
        ("lcm", "LCMScheduler", {"guidance": 1.0}),
        ("unipc", "UniPCMultistepScheduler", {"guidance": 3.0, "control": 1.0}),
    ],
)
def test_it_paints_what_the_librarys_pipeline_paints(
    models: dict[str, Path], model: str, name: str, scheduler: str, changed: dict[str, Any]
) -> None:
    settings = replace(DiffusionSettings(str(models[model]), steps=4, scheduler=name), **changed)
    wanted = jobs()
    expected = by_the_library(settings, getattr(diffusers, scheduler), wanted)
    assert expected.std() > 0.01
    assert (painter(settings).shares(wanted) - expected).abs().max() <= 1e-4


@every_model
def test_a_batch_gives_what_single_jobs_give(models: dict[str, Path], model: str) -> None:
    settings = DiffusionSettings(str(models[model]), steps=4, control_end=0.75, guidance_end=0.5, scheduler="lcm")
    together = painter(settings).shares(jobs())
    alone = torch.cat([painter(settings).shares([job]) for job in jobs()])
    assert (together - alone).abs().max() <= 1e-4


def test_texts_and_products_are_encoded_once_and_a_batch_takes_one_call_a_step(models: dict[str, Path]) -> None:
    backend, calls, rows = watched(DiffusionSettings(str(models["sd-9"]), steps=3, batch=4))
    first = backend.render(requests())
    # Two sizes, a batch of four each, of which both halves of guidance are one call.
    assert calls == {"text": 4, "encode": 4, "edges": 4, "unet": 6, "control": 6}
    assert rows == [8] * 6
    again = backend.render([replace(request, placed=replace(request.placed)) for request in requests()])
    assert (calls["text"], calls["encode"], calls["edges"]) == (4, 4, 4)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    other = Prompt("new", "seating", "a chair on marble", "", {})
    backend.render([RenderRequest(requests()[0].placed, other, 1)])
    assert (calls["text"], calls["encode"]) == (5, 4)


def test_guidance_and_control_end_when_they_should(models: dict[str, Path]) -> None:
    settings = DiffusionSettings(str(models["sd-4"]), steps=4, guidance_end=0.5, control_end=0.25)
    backend, calls, rows = watched(settings)
    pictures = backend.render(requests()[:2])
    assert rows == [4, 4, 2, 2]
    assert (calls["unet"], calls["control"]) == (4, 1)
    whole = DiffusersBackend(replace(settings, guidance_end=1.0)).render(requests()[:2])
    assert any((a != b).any() for a, b in zip(pictures, whole, strict=True))
    backend, calls, rows = watched(replace(settings, guidance=1.0))
    backend.render(requests()[:2])
    assert rows == [2] * 4
    assert calls["text"] == 2


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
def test_compiled_networks_are_given_full_batches_and_paint_the_same(models: dict[str, Path]) -> None:
    plain = DiffusionSettings(str(models["sd-9"]), steps=2, batch=3)
    expected = DiffusersBackend(plain).render(requests())
    # Compiling for a CPU takes longer than these pictures: the same code runs, not compiled.
    with torch.compiler.set_stance("force_eager"):
        backend, _, rows = watched(replace(plain, compile=True))
        found = backend.render(requests())
    assert rows == [6] * 8
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(expected, found, strict=True))


def test_half_precision_paints_nearly_the_same(models: dict[str, Path]) -> None:
    settings = DiffusionSettings(str(models["sd-4"]), steps=2)
    exact, rough = painter(settings).shares(jobs()), painter(replace(settings, dtype="bfloat16")).shares(jobs())
    assert 0 < (exact - rough).abs().max() < 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheduler": "slow"}, "scheduler = 'slow': use one of model, ddim"),
        ({"dtype": "int8"}, "dtype = 'int8': use one of float32"),
        ({"control_end": "1.5"}, "control_end = 1.5"),
        ({"guidance_end": "-1"}, "guidance_end = -1.0"),
        ({"batch": "0"}, "batch = 0: it must be 1 or more"),
        ({"compile": "maybe"}, "compile = 'maybe': use yes or no"),
        ({"colour": "red"}, r"unknown are \['colour'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        DiffusionSettings.from_options({"model": "folder", **options})


def test_settings_are_read_from_text() -> None:
    text = {
        "model": "folder",
        "steps": "8",
        "guidance": "1.5",
        "dtype": "float16",
        "compile": "yes",
        "scheduler": "lcm",
    }
    expected = DiffusionSettings("folder", steps=8, guidance=1.5, dtype="float16", compile=True, scheduler="lcm")
    assert DiffusionSettings.from_options(text) == expected
