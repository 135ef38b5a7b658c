"""A tiny language model of the GPT-2 class, trained for seconds on a few prompts so that it really writes such."""

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from generation import Brief

SURFACES = ("a wide oak floor", "grey slate slabs", "pale linen cloth", "polished walnut boards", "fine beach sand")
SCENES = ("a sunlit loft behind", "a summer garden behind", "a tidy kitchen behind", "a chair by the wall")
LIGHTS = ("soft morning light", "golden evening sun", "one narrow spotlight", "bright noon light")
LINES = tuple(f"on {s}, {c}, {t}, calm photograph" for s in SURFACES for c in SCENES for t in LIGHTS)
EXAMPLES = LINES[:2]
_END = "<|end|>"
INSTRUCTION = "Write backgrounds."
_STEPS, _BATCH, _LINES_AT_ONCE = 150, 4, 3


def save_tiny_writer(folder: Path, category: str = "seating", positions: int = 512) -> None:
    """Train on briefs followed by lines, and write model and tokenizer to ``folder`` as ``save_pretrained`` does."""
    # The library's classes carry no types.
    library: Any = transformers
    # Threads that wait for each other cost more than such a small model takes.
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    head = Brief(category, INSTRUCTION, EXAMPLES).words()
    tokenizer = _tokenizer([head, *LINES])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = library.GPT2LMHeadModel(
            library.GPT2Config(
                vocab_size=len(tokenizer), n_positions=positions, n_embd=48, n_layer=2, n_head=4,
                bos_token_id=0, eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            )
        )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    asked = tokenizer(head)["input_ids"]
    for _ in range(_STEPS):
        rows = [asked + _written(tokenizer, generator) for _ in range(_BATCH)]
        longest = max(len(row) for row in rows)
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        labels = tokens.clone()
        labels[:, : len(asked)] = -100
        optimizer.zero_grad()
        model(input_ids=tokens, labels=labels).loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _written(tokenizer: Any, generator: torch.Generator) -> list[int]:
    chosen = torch.randint(len(LINES), (_LINES_AT_ONCE,), generator=generator).tolist()
    tokens: list[int] = tokenizer("".join(f" {LINES[n]}\n-" for n in chosen).removesuffix("-"))["input_ids"]
    return [*tokens, 0]


def _tokenizer(texts: list[str]) -> Any:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[_END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    trained.train_from_iterator(texts, trainer)
    library: Any = transformers
    return library.PreTrainedTokenizerFast(tokenizer_object=trained, eos_token=_END, bos_token=_END)
