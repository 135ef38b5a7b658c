"""A Stable Diffusion (XL) + ControlNet pipeline of the real classes, tiny and random, made without any hub."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from generation.model_kind import SD, SDXL, ModelKind

WORDS = ("on oak in a garden", "on slate in a kitchen", "text and logos", "a chair on marble in soft morning light")
_START, _END = "<|startoftext|>", "<|endoftext|>"
_DIM, _DIM_2, _POOLED, _TIME = 32, 48, 24, 8
_DOWN = ("DownBlock2D", "CrossAttnDownBlock2D")


def save_tiny_pipeline(folder: Path, in_channels: int = 4, kind: ModelKind = SD) -> None:
    """Write the pipeline to ``folder`` as ``save_pretrained`` does; a UNet for inpainting has 9 ``in_channels``."""
    # The library's classes carry no types.
    make: Any = diffusers
    torch.manual_seed(0)
    # Threads that wait for each other cost more than such a small model takes.
    torch.set_num_threads(1)
    networks = _networks(make, in_channels, _xl_shape() if kind is SDXL else {"cross_attention_dim": _DIM})
    tokenizer = tiny_tokenizer(folder / "words")
    words = {"tokenizer": tokenizer, "text_encoder": CLIPTextModel(_text_config(len(tokenizer), _DIM))}
    if kind is SDXL:
        # The second text is filled up with another token, as the real one's is.
        words["tokenizer_2"] = tiny_tokenizer(folder / "words_2", pad_token="!")
        words["text_encoder_2"] = CLIPTextModelWithProjection(_text_config(len(tokenizer), _DIM_2))
    pipeline = getattr(make, kind.pipeline)(
        **networks,
        **words,
        scheduler=make.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False),
        **kind.without,
    )
    pipeline.save_pretrained(folder)


def _networks(make: Any, in_channels: int, shape: dict[str, Any]) -> dict[str, Any]:
    shared: dict[str, Any] = {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 8,
        "down_block_types": _DOWN,
        **shape,
    }
    unet = make.UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=4,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **shared,
    )
    controlnet = make.ControlNetModel(conditioning_embedding_out_channels=(8, 8, 16, 16), **shared)
    for layer in (*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.05)
    vae = make.AutoencoderKL(
        block_out_channels=[32, 32, 32, 32],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=8,
    )
    return {"unet": unet, "controlnet": controlnet, "vae": vae}


def _xl_shape() -> dict[str, Any]:
    return {
        "cross_attention_dim": _DIM + _DIM_2,
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": _TIME,
        "projection_class_embeddings_input_dim": 6 * _TIME + _POOLED,
    }


def _text_config(words: int, width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=words, hidden_size=width, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=77, projection_dim=_POOLED, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip


def tiny_tokenizer(folder: Path, **special: str) -> Any:
    """A tokenizer of the real class that knows ``WORDS`` and every byte, with ``special`` tokens."""
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
    return tokenizer(vocab=state["vocab"], merges=merges, model_max_length=77, **special)
