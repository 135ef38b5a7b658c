"""Loads a Stable Diffusion (XL) + ControlNet pipeline and makes it fast; imported only where it is used."""

from dataclasses import dataclass
from typing import Any

import diffusers
import torch

from contracts import SetupError
from generation.diffusion_settings import DiffusionSettings
from generation.model_kind import SDXL, ModelKind
from generation.model_source import find_model

_SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "dpm": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
    "unipc": "UniPCMultistepScheduler",
}
# Compiled code is kept per picture size and batch; beyond the library's own limit of 8 it would quietly not be used.
_COMPILED_SHAPES = 64


@dataclass(frozen=True, slots=True)
class Models:
    """A pipeline, and the ControlNet's encoder of edges taken out of it.

    The encoded edges do not change from step to step, so they are made once and given in their place.
    """

    kind: ModelKind
    pipeline: Any
    edges: Any


def load_models(settings: DiffusionSettings) -> Models:
    """Load from where ``find_model`` finds the files.

    Raises:
        SetupError: if a file is missing or does not fit.
    """
    model = find_model(settings).files
    folder, loader = model.folder, getattr(diffusers, model.kind.pipeline)
    steering: Any = diffusers.ControlNetModel
    options = {"local_files_only": True, "use_safetensors": True, "dtype": getattr(torch, settings.dtype)}
    try:
        controlnet = steering.from_pretrained(str(model.controlnet), **options)
        pipeline = loader.from_pretrained(str(folder), controlnet=controlnet, **options, **model.kind.without)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        message = f"the model in {folder} cannot be loaded: {error}"
        raise SetupError(message) from error
    if pipeline.controlnet.config.controlnet_conditioning_channel_order != "rgb":
        message = f"the ControlNet in {model.controlnet} reads its edges in the order BGR: save one that reads RGB"
        raise SetupError(message)
    pipeline.to(settings.device)
    if model.kind is SDXL and pipeline.vae.config.force_upcast:
        # Such a VAE overflows in half precision.
        pipeline.vae.float()
    edges = pipeline.controlnet.controlnet_cond_embedding
    pipeline.controlnet.controlnet_cond_embedding = torch.nn.Identity()
    networks = (pipeline.unet, pipeline.controlnet, pipeline.vae.decoder)
    if torch.device(settings.device).type == "cuda":
        for network in (*networks, pipeline.vae.encoder, edges):
            network.to(memory_format=torch.channels_last)
    if settings.compile:
        torch._dynamo.config.recompile_limit = max(_COMPILED_SHAPES, torch._dynamo.config.recompile_limit)
        for network in networks:
            network.forward = torch.compile(network.forward, dynamic=False)
    return Models(model.kind, pipeline, edges)


def open_scheduler(models: Models, name: str) -> Any:
    """A scheduler of its own (it has state) with the noise schedule of the model's."""
    saved = models.pipeline.scheduler
    kind = type(saved) if name == "model" else getattr(diffusers, _SCHEDULERS[name])
    return kind.from_config(saved.config)
