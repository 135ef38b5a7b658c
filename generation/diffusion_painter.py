"""Denoises a batch of pictures, each text and product encoded once; imported only where it is used."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor

from generation.arrays import Pixels
from generation.control import canvas
from generation.diffusion_pipeline import Models, open_scheduler
from generation.diffusion_settings import DiffusionSettings
from generation.diffusion_words import Conditions, Words, conditions, encode
from generation.layout import Placed

_TEXTS_KEPT, _PRODUCTS_KEPT = 512, 16
_GUIDED_BY_MASK = 9
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Stand:
    """A placed product and the size (width, height) to paint it at; equal if size and ``digest``, of pixels, are."""

    digest: str
    size: tuple[int, int]
    placed: Placed = field(compare=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to paint; those painted together have stands of one size."""

    text: str
    negative: str
    seed: int
    stand: Stand


@dataclass(frozen=True, slots=True)
class _Guide:
    """A stand as the networks take it: encoded edges [1, c, h/8, w/8], paint mask and product latents beside them."""

    edges: torch.Tensor
    mask: torch.Tensor
    latents: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Given:
    """What stays the same at every step of a batch; ``words`` holds the negative ones first, if there are any."""

    words: Conditions
    edges: torch.Tensor
    mask: torch.Tensor
    product: torch.Tensor


class Painter:
    """Paints as the pipeline does (``guidance_end`` aside) but encodes nothing twice. Not thread-safe.

    A picture does not depend on its batch: every job has its own generator, and the product's latents are the mode
    of their posterior instead of a draw from it.
    """

    def __init__(self, models: Models, settings: DiffusionSettings) -> None:
        """Paint with ``models``, which painters of other settings may share."""
        self._models = models
        self._settings = settings
        self._unet, self._controlnet, self._vae = (
            models.pipeline.unet,
            models.pipeline.controlnet,
            models.pipeline.vae,
        )
        self._scheduler = open_scheduler(models, settings.scheduler)
        self._draws = "generator" in inspect.signature(self._scheduler.step).parameters
        self._blank = models.pipeline.config.get("force_zeros_for_empty_prompt", False)
        self._words = lru_cache(maxsize=_TEXTS_KEPT)(partial(encode, models))
        self._guide = lru_cache(maxsize=_PRODUCTS_KEPT)(self._encode_product)

    def shares(self, jobs: Sequence[Job]) -> torch.Tensor:
        """Pictures f32[n, 3, h, w], 0 to 1, of the stands' size, in order, on the models' device."""
        wanted = list(jobs)
        if self._settings.compile:
            # Compiled code is for one batch size: a last, short batch is filled up rather than compiled for.
            wanted += wanted[-1:] * (self._settings.batch - len(wanted))
        with torch.no_grad():
            latents = self._denoised(wanted).to(self._vae.dtype) / self._vae.config.scaling_factor
            decoded: torch.Tensor = self._vae.decode(latents, return_dict=False)[0][: len(jobs)]
            return (decoded.float() / 2 + _HALF).clamp(0, 1)

    def _negative(self, text: str, like: Words) -> Words:
        return like.blank() if self._blank and not text else self._words(text)

    def _encode_product(self, stand: Stand) -> _Guide:
        shown = canvas(stand.placed, stand.size, self._settings.into)
        mask = (self._plane(shown.mask) >= _HALF).to(self._unet.dtype)
        image = torch.from_numpy(shown.image).to(self._unet.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        if self._unet.config.in_channels == _GUIDED_BY_MASK:
            image = image * (1 - mask)
        posterior = self._vae.encode(image.to(self._vae.dtype)).latent_dist
        latents = posterior.mode().to(self._unet.dtype) * self._vae.config.scaling_factor
        edges = self._models.edges(self._plane(shown.edges).to(self._unet.dtype).expand(-1, 3, -1, -1))
        return _Guide(edges, torch.nn.functional.interpolate(mask, size=latents.shape[-2:]), latents)

    def _plane(self, plane: Pixels) -> torch.Tensor:
        return torch.from_numpy(plane).to(self._unet.device)[None, None].float() / 255

    def _denoised(self, jobs: Sequence[Job]) -> torch.Tensor:
        settings, scheduler = self._settings, self._scheduler
        guides = [self._guide(job.stand) for job in jobs]
        words = [self._words(job.text) for job in jobs]
        if settings.guidance > 1:
            words = [self._negative(job.negative, like) for job, like in zip(jobs, words, strict=True)] + words
        given = _Given(
            conditions(words, jobs[0].stand.size),
            torch.cat([guide.edges for guide in guides]),
            torch.cat([guide.mask for guide in guides]),
            torch.cat([guide.latents for guide in guides]),
        )
        generators = [torch.Generator("cpu").manual_seed(job.seed) for job in jobs]
        # Steps are counted on the CPU: a scheduler that reads them from the device would wait for it each time.
        scheduler.set_timesteps(settings.steps, device="cpu")
        times = scheduler.timesteps.to(self._unet.device)
        noise = randn_tensor(given.product.shape, generators, self._unet.device, self._unet.dtype)
        latents: torch.Tensor = noise * scheduler.init_noise_sigma
        extra: dict[str, Any] = {"generator": generators} if self._draws else {}
        for i, time in enumerate(scheduler.timesteps):
            scaled = scheduler.scale_model_input(latents, time)
            found = self._predicted(scaled, times[i], given, (i + 1) / len(times))
            latents = scheduler.step(found, time, latents, **extra, return_dict=False)[0]
            if self._unet.config.in_channels != _GUIDED_BY_MASK:
                kept = given.product
                if i + 1 < len(times):
                    kept = scheduler.add_noise(kept, noise, scheduler.timesteps[i + 1 : i + 2])
                latents = (1 - given.mask) * kept + given.mask * latents
        return latents

    def _predicted(self, latents: torch.Tensor, time: torch.Tensor, given: _Given, done: float) -> torch.Tensor:
        """The noise in ``latents``; ``done`` is the share of the steps that this one completes."""
        settings = self._settings
        guided = settings.guidance > 1 and done <= settings.guidance_end
        times = 2 if guided else 1
        shown, words = torch.cat([latents] * times), given.words.last(times * len(latents))
        residuals: dict[str, Any] = {}
        if done <= settings.control_end:
            down, middle = self._controlnet(
                shown,
                time,
                **words,
                controlnet_cond=torch.cat([given.edges] * times),
                conditioning_scale=settings.control,
                return_dict=False,
            )
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        if self._unet.config.in_channels == _GUIDED_BY_MASK:
            shown = torch.cat([shown, torch.cat([torch.cat([given.mask, given.product], dim=1)] * times)], dim=1)
        noise: torch.Tensor = self._unet(shown, time, **words, return_dict=False, **residuals)[0]
        if not guided:
            return noise
        plain, prompted = noise[: len(latents)], noise[len(latents) :]
        return plain + settings.guidance * (prompted - plain)
