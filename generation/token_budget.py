"""How many tokens a text takes in a model, counted with the model's own tokenizer; the model is not loaded."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from contracts import Prompt, SetupError
from generation.prompt_errors import PromptError

_KEPT = 4_096


class TokenBudget:
    """Counts tokens, begin and end marks included; the tokenizer is read from its folder when first needed."""

    def __init__(self, folder: Path) -> None:
        """Count for the pipeline in ``folder``: its ``tokenizer`` and the configuration of its ``text_encoder``."""
        self._folder = folder
        self._loaded: Any = None
        self._limit = 0
        self.count = lru_cache(maxsize=_KEPT)(self._count)

    @property
    def limit(self) -> int:
        """The most tokens that the model takes of a text.

        Raises:
            SetupError: if the tokenizer cannot be read.
        """
        self._open()
        return self._limit

    def check(self, prompt: Prompt, *, negative: bool = True) -> None:
        """Refuse a prompt whose text (or negative, if that is used) is too long to be taken whole.

        Raises:
            PromptError: ``prompt_too_long``, with the count and the limit.
            SetupError: if the tokenizer cannot be read.
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
        return len(self._open()(text, truncation=False, verbose=False).input_ids)

    def _open(self) -> Any:
        if self._loaded is None:
            from transformers import AutoTokenizer

            loader: Any = AutoTokenizer
            folder = self._folder / "tokenizer"
            # The library reads files in Rust, whose errors are plain exceptions.
            try:
                tokenizer = loader.from_pretrained(str(folder), local_files_only=True)
                positions = _positions(self._folder / "text_encoder" / "config.json")
            except Exception as error:
                message = f"the tokenizer in {folder} cannot be read: {error}"
                raise SetupError(message) from error
            self._limit = min(int(tokenizer.model_max_length), positions)
            self._loaded = tokenizer
        return self._loaded


def _positions(path: Path) -> int:
    return int(json.loads(path.read_text(encoding="utf-8"))["max_position_embeddings"])
