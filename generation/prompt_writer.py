"""Lets a local language model draft prompts, and keeps those that could be used; a person decides (prompt_drafts)."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts import InvalidInputError, Prompt, SetupError
from generation.prompt_errors import PromptError
from generation.prompt_values import cleaned
from generation.prompt_words import first_word

INSTRUCTION = (
    "Write backgrounds for product photos, one a line. Each says in one phrase what the product stands on, "
    "what is seen behind it, the light and the style of the photograph. The product itself is never named."
)
MIN_WORDS, MAX_CHARS = 6, 400
_ALIKE = 0.8
_ROUNDS, _AT_ONCE = 12, 8
_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s*")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """How a model is asked: ``model`` is a folder as ``save_pretrained`` writes it; equal seeds give equal drafts."""

    model: str
    seed: int = 0
    temperature: float = 0.9
    top_p: float = 0.95
    max_new_tokens: int = 120

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled.

        Raises:
            InvalidInputError: naming the setting, its value and the limit.
        """
        for name, low, high in (
            ("seed", 0, 2**32),
            ("temperature", 0.05, 5),
            ("top_p", 0.01, 1),
            ("max_new_tokens", 8, 2_000),
        ):
            if not low <= getattr(self, name) <= high:
                message = f"{name} = {getattr(self, name)}: it must be {low} to {high}"
                raise InvalidInputError(message)

    @classmethod
    def from_options(cls, model: str, options: Sequence[str]) -> "WriterSettings":
        """Read ``name=value`` words.

        Raises:
            InvalidInputError: if a name is unknown or a value does not fit.
        """
        kinds: dict[str, Callable[[str], float]] = {
            "seed": int, "temperature": float, "top_p": float, "max_new_tokens": int
        }  # fmt: skip
        values: dict[str, Any] = {}
        for option in options:
            name, _, value = option.partition("=")
            try:
                values[name] = kinds[name](value)
            except (KeyError, ValueError) as error:
                message = f"{option!r} is no option of the writer: use name=number with one of {', '.join(kinds)}"
                raise InvalidInputError(message) from error
        return cls(model, **values)


@dataclass(frozen=True, slots=True)
class Brief:
    """What drafts are wanted for: a category with words for its prompts, examples, titles, and what is there."""

    category: str
    instruction: str = INSTRUCTION
    examples: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    product_words: tuple[str, ...] = ()

    def words(self) -> str:
        """The brief as the model reads it; its own line begins behind the last dash."""
        sold = f"\nProducts: {'; '.join(cleaned(title) for title in self.titles)}" if self.titles else ""
        lines = "".join(f"\n- {example}" for example in self.examples)
        return f"{self.instruction}\nCategory: {self.category}{sold}{lines}\n-"


@dataclass(frozen=True, slots=True)
class Drafts:
    """Texts that could be prompts, and how many others were left out, by reason."""

    texts: tuple[str, ...]
    left_out: Mapping[str, int]


Write = Callable[[str, int], Sequence[str]]


def draft_prompts(brief: Brief, count: int, write: Write, check: Callable[[Prompt], None]) -> Drafts:
    """Ask ``write`` (text, round -> continuations) until ``count`` drafts are good or it has been asked 12 times.

    ``check`` is a backend's or token budget's. Left out are ``too_short`` (fewer than 6 words), ``too_long`` (400
    characters), ``characters`` (braces, and those that do not print), ``product_word``, ``prompt_too_long``
    (tokens) and ``duplicate`` (four fifths of the words of another draft or example).
    """
    kept: list[str] = []
    left_out: Counter[str] = Counter()
    for number in range(_ROUNDS):
        for text in (line for each in write(brief.words(), number) for line in lines_of(each)):
            reason = _refusal(text, brief, kept, check)
            if reason is not None:
                left_out[reason] += 1
            elif len(kept) < count:
                kept.append(text)
        if len(kept) == count:
            break
    return Drafts(tuple(kept), dict(sorted(left_out.items())))


def lines_of(continuation: str) -> Iterator[str]:
    """The lines that a model wrote, without their marks; a last one that no line break ends may be cut: left out."""
    for line in continuation.split("\n")[:-1]:
        text = " ".join(_MARK.sub("", line).strip().strip('"“”').split())
        if text:
            yield text


def open_writer(settings: WriterSettings) -> Write:
    """Load the model and let it write; nothing is asked of any hub, and no pickled weights are read.

    Raises:
        SetupError: if the folder holds no model that can be loaded.
    """
    folder = Path(settings.model)
    if not (folder / "config.json").is_file():
        message = f"{folder} holds no config.json: give a folder with a text-generation model (save_pretrained)"
        raise SetupError(message)
    import transformers

    library: Any = transformers
    # Tokenizers and weights are read in Rust, whose errors are plain exceptions.
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model = library.AutoModelForCausalLM.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    except Exception as error:
        message = f"the model in {folder} cannot be loaded: {error}"
        raise SetupError(message) from error
    if len(tokenizer) > model.config.vocab_size:
        message = f"{folder}: the tokenizer has {len(tokenizer)} words, the model {model.config.vocab_size}: no pair"
        raise SetupError(message)
    return _Writer(model.eval(), tokenizer, settings)


@dataclass(frozen=True, slots=True)
class _Writer:
    model: Any
    tokenizer: Any
    settings: WriterSettings

    def __call__(self, words: str, number: int) -> list[str]:
        import torch

        settings = self.settings
        if self.tokenizer.chat_template:
            turn = [{"role": "user", "content": words.removesuffix("\n-")}]
            words = self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        asked = self.tokenizer(words, return_tensors="pt", verbose=False)
        length = asked["input_ids"].shape[1]
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and length + settings.max_new_tokens > limit:
            message = (
                f"the brief has {length} tokens and {settings.max_new_tokens} are to be written, but the model in "
                f"{settings.model} takes {limit}: give fewer examples or titles, or a smaller max_new_tokens"
            )
            raise InvalidInputError(message)
        end = self.tokenizer.eos_token_id
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(settings.seed * _ROUNDS + number)
            written = self.model.generate(
                **asked,
                do_sample=True,
                temperature=settings.temperature,
                top_p=settings.top_p,
                max_new_tokens=settings.max_new_tokens,
                num_return_sequences=_AT_ONCE,
                pad_token_id=end if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id,
            )
        return [self._text(row[length:].tolist(), end) for row in written]

    def _text(self, tokens: list[int], end: int | None) -> str:
        whole = end is not None and end in tokens
        said: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        # A model that came to its end finished its last line.
        return said + "\n" if whole else said


def _refusal(text: str, brief: Brief, kept: Sequence[str], check: Callable[[Prompt], None]) -> str | None:
    words = _words(text)
    rules = {
        "too_long": len(text) > MAX_CHARS,
        "too_short": len(words) < MIN_WORDS,
        "characters": cleaned(text) != text or "{" in text or "}" in text,
        "product_word": first_word(text, brief.product_words) is not None,
        "duplicate": any(_alike(words, _words(other)) for other in (*kept, *brief.examples)),
    }
    try:
        check(Prompt("draft", brief.category, text))
    except PromptError as error:
        rules[error.reason] = True
    return next((reason for reason, broken in rules.items() if broken), None)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= _ALIKE * len(one | other)
