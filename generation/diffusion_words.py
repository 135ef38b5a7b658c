"""A text, and what else tells the networks what to paint, as they take it; imported only where it is used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from generation.diffusion_pipeline import Models
from generation.model_kind import SDXL


@dataclass(frozen=True, slots=True)
class Words:
    """An encoded text: ``states`` [1, tokens, d] and, of SDXL alone, ``pooled`` [1, p]."""

    states: torch.Tensor
    pooled: torch.Tensor | None

    def blank(self) -> "Words":
        """No text, as most SDXL models were taught it: zeros of this shape."""
        return Words(torch.zeros_like(self.states), None if self.pooled is None else torch.zeros_like(self.pooled))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What both networks are told of each picture of a batch, beside its latents; each row is one picture's."""

    states: torch.Tensor
    added: dict[str, torch.Tensor]

    def last(self, rows: int) -> dict[str, Any]:
        """The networks' arguments for the last ``rows``."""
        given: dict[str, Any] = {"encoder_hidden_states": self.states[-rows:]}
        if self.added:
            given["added_cond_kwargs"] = {name: value[-rows:] for name, value in self.added.items()}
        return given


def encode(models: Models, text: str) -> Words:
    """Encode a text by every text encoder of the model."""
    pipeline = models.pipeline
    found = pipeline.encode_prompt(
        text, device=pipeline.unet.device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    return Words(found[0], found[2] if models.kind is SDXL else None)


def conditions(words: Sequence[Words], size: tuple[int, int]) -> Conditions:
    """The conditions of pictures of one ``size`` (width, height): nothing is cropped or was enlarged."""
    states = torch.cat([each.states for each in words])
    pooled = [each.pooled for each in words if each.pooled is not None]
    if not pooled:
        return Conditions(states, {})
    width, height = size
    sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=states.dtype, device=states.device)
    return Conditions(states, {"text_embeds": torch.cat(pooled), "time_ids": sizes.expand(len(states), -1)})
