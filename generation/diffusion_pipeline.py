"""Stable Diffusion + ControlNet inpainting with deterministic latents; imported only where it is used."""

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionControlNetInpaintPipeline

from contracts import SetupError


class PosteriorModePipeline(StableDiffusionControlNetInpaintPipeline):
    """The pipeline with images encoded to the mode of the VAE's posterior: no draw, so no dependence on the batch."""

    vae: Any

    def _encode_vae_image(self, image: torch.Tensor, generator: Any) -> torch.Tensor:
        latents: torch.Tensor = self.vae.encode(image).latent_dist.mode() * self.vae.config.scaling_factor
        return latents


def load_pipeline(folder: Path, device: str) -> Any:
    """Load a pipeline from a local folder, never from a hub, and move it to ``device``.

    Raises:
        SetupError: if a file is missing or does not fit.
    """
    loader: Any = PosteriorModePipeline
    try:
        pipeline = loader.from_pretrained(
            str(folder),
            local_files_only=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        message = f"the model in {folder} cannot be loaded: {error}"
        raise SetupError(message) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
