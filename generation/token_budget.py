"""How many tokens a text takes in a model, counted with the model's own tokenizers; the model is not loaded."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from contracts import Prompt, SetupError
from generation.model_kind import SDXL
from generation.prompt_errors import PromptError

_KEPT = 4_096


class TokenBudget:
    """Counts tokens, begin and end marks included; tokenizers are read from their folders when first needed.

    Of two tokenizers the larger count and the smaller limit rule: what they feed stands side by side, token by token.
    """

    def __init__(self, folder: Path) -> None:
        """Count for the pipeline in ``folder``: its tokenizers and the configurations of its text encoders."""
        self._folder = folder
        self._loaded: tuple[Any, ...] = ()
        self._limit = 0
        self.count = lru_cache(maxsize=_KEPT)(self._count)

    @property
    def limit(self) -> int:
        """The most tokens that the model takes of a text.

        Raises:
            SetupError: if a tokenizer cannot be read.
        """
        self._open()
        return self._limit

    def check(self, prompt: Prompt, *, negative: bool = True) -> None:
        """Refuse a prompt whose text (or negative, if that is used) is too long to be taken whole.

        Raises:
            PromptError: ``prompt_too_long``, with the count and the limit.
            SetupError: if a tokenizer cannot be read.
        """
        for name, text in (("text", prompt.text), ("negative", prompt.negative))[: 1 + negative]:
            tokens = self.count(text)
            if tokens > self.limit:
                message = (
                    f"{name} of prompt {prompt.category}/{prompt.arm} has {tokens} tokens, the model takes at most "
                    f"{self.limit}: shorten {text[:60]!r}…"
                )
                raise PromptError(message, "prompt_too_long")

    def _count(self, text: str) -> int:
        return max(len(each(text, truncation=False, verbose=False).input_ids) for each in self._open())

    def _open(self) -> tuple[Any, ...]:
        if not self._loaded:
            first, *others = SDXL.tokenizers
            pairs = [first, *(pair for pair in others if (self._folder / pair[0]).is_dir())]
            opened = [_opened(self._folder / tokenizer, self._folder / encoder) for tokenizer, encoder in pairs]
            self._limit = min(limit for _, limit in opened)
            self._loaded = tuple(tokenizer for tokenizer, _ in opened)
        return self._loaded


def _opened(folder: Path, encoder: Path) -> tuple[Any, int]:
    """A tokenizer and the most tokens that it and its text encoder take."""
    from transformers import AutoTokenizer

    loader: Any = AutoTokenizer
    # The library reads files in Rust, whose errors are plain exceptions.
    try:
        tokenizer = loader.from_pretrained(str(folder), local_files_only=True)
        settings = json.loads((encoder / "config.json").read_text(encoding="utf-8"))
        return tokenizer, min(int(tokenizer.model_max_length), int(settings["max_position_embeddings"]))
    except Exception as error:
        message = f"the tokenizer in {folder} cannot be read: {error}"
        raise SetupError(message) from error
