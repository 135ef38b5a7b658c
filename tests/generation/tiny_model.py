"""A Stable Diffusion + ControlNet pipeline of the real classes, tiny and random, made without any hub."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WORDS = ("on oak in a garden", "on slate in a kitchen", "text and logos", "a chair on marble in soft morning light")
_START, _END = "<|startoftext|>", "<|endoftext|>"
_DIM = 32


def save_tiny_pipeline(folder: Path, in_channels: int = 4) -> None:
    """Write the pipeline to ``folder`` as ``save_pretrained`` does; a UNet for inpainting has 9 ``in_channels``."""
    # The library's classes carry no types.
    make: Any = diffusers
    torch.manual_seed(0)
    # Threads that wait for each other cost more than such a small model takes.
    torch.set_num_threads(1)
    blocks: dict[str, Any] = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8}
    down = ("DownBlock2D", "CrossAttnDownBlock2D")
    shared: dict[str, Any] = {**blocks, "cross_attention_dim": _DIM, "attention_head_dim": 8}
    unet = make.UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=down,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **shared,
    )
    controlnet = make.ControlNetModel(
        down_block_types=down, conditioning_embedding_out_channels=(8, 8, 16, 16), **shared
    )
    for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.05)
    vae = make.AutoencoderKL(
        block_out_channels=[32, 32, 32, 32],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=8,
    )
    tokenizer = tiny_tokenizer(folder / "words")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=_DIM, intermediate_size=37, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=77, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )
    )  # fmt: skip
    pipeline = make.StableDiffusionControlNetInpaintPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        controlnet=controlnet,
        scheduler=make.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)


def tiny_tokenizer(folder: Path) -> Any:
    """A tokenizer of the real class that knows ``WORDS`` and every byte."""
    folder.mkdir()
    trained = Tokenizer(models.BPE(unk_token=_END, end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[_START, _END],
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    trained.train_from_iterator(WORDS, trainer)
    state = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in state["merges"]]
    tokenizer: Any = CLIPTokenizer
    return tokenizer(vocab=state["vocab"], merges=merges, model_max_length=77)
