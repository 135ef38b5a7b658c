"""A Stable Diffusion + ControlNet model of a real shape with random weights, made without any hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from tests.generation.tiny_model import tiny_tokenizer

_CROSS, _PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
_CROSS_UP, _PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths of the networks: ``unet`` and ``vae`` per level; ``text`` width, layers and heads of the text encoder."""

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    text: tuple[int, int, int]
    layers: int = 2
    groups: int = 32

    @property
    def down(self) -> tuple[str, ...]:
        """Blocks on the way down: attention everywhere but at the bottom."""
        return (_CROSS,) * (len(self.unet) - 1) + (_PLAIN,)


# Rombach et al. (2022), as runwayml's stable-diffusion-inpainting v1.5 and lllyasviel's ControlNet v1.1 configure it.
SD15 = Shape(unet=(320, 640, 1280, 1280), vae=(128, 256, 512, 512), text=(768, 12, 12))


def save_random_model(folder: Path, shape: Shape, device: str, dtype: torch.dtype) -> None:
    """Write a pipeline with a 9-channel UNet to ``folder``.

    Weights are scaled so that a run looks like a real one to the arithmetic: the predicted noise and the latents
    have unit variance, the ControlNet's residuals are half of what they are added to, pictures are neither flat nor
    saturated, prompts matter, and the VAE's posterior is as narrow as a trained one's.
    """
    torch.manual_seed(0)
    # The library's classes carry no types.
    make: Any = diffusers
    width, depth, heads = shape.text
    shared: dict[str, Any] = {
        "block_out_channels": shape.unet,
        "layers_per_block": shape.layers,
        "norm_num_groups": shape.groups,
        "cross_attention_dim": width,
        "attention_head_dim": 8,
        "down_block_types": shape.down,
    }
    levels = len(shape.vae)
    tokenizer = tiny_tokenizer(folder / "words")
    with torch.device(device), torch.no_grad():
        unet = make.UNet2DConditionModel(
            in_channels=9,
            out_channels=4,
            sample_size=64,
            up_block_types=(_PLAIN_UP,) + (_CROSS_UP,) * (len(shape.unet) - 1),
            **shared,
        )
        controlnet = make.ControlNetModel(in_channels=4, **shared)
        vae = make.AutoencoderKL(
            block_out_channels=shape.vae,
            layers_per_block=shape.layers,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            latent_channels=4,
            norm_num_groups=shape.groups,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=depth,
                num_attention_heads=heads, max_position_embeddings=77, bos_token_id=0, eos_token_id=1, pad_token_id=1,
            )
        )  # fmt: skip
        _scale(unet, controlnet, vae, width)
    pipeline = make.StableDiffusionControlNetInpaintPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        controlnet=controlnet,
        scheduler=make.DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
            set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.to(dtype=dtype).save_pretrained(folder)


def _scale(unet: Any, controlnet: Any, vae: Any, width: int) -> None:
    # Random queries and keys look at all words alike; without this, prompts would hardly differ.
    for name, layer in unet.named_modules():
        if name.endswith("attn2.to_out.0"):
            layer.weight *= 8
    for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.5 / layer.in_channels**0.5)
    seen = unet(torch.randn(2, 9, 32, 32), 500, encoder_hidden_states=torch.randn(2, 77, width)).sample
    _multiply(unet.conv_out, 1 / seen.std())
    latents = 4
    posterior = vae.encode(torch.rand(1, 3, 256, 256) * 2 - 1).latent_dist
    _multiply(vae.quant_conv, 1 / vae.config.scaling_factor / posterior.mean.std())
    vae.quant_conv.weight[latents:] = 0
    vae.quant_conv.bias[latents:] = -30
    _multiply(vae.decoder.conv_out, 0.5 / vae.decode(torch.randn(1, latents, 32, 32) * 5).sample.std())


def _multiply(layer: Any, factor: torch.Tensor) -> None:
    layer.weight *= factor
    layer.bias *= factor
