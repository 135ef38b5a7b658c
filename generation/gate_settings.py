"""Settings of the quality gate, read from text."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from contracts import SettingsError

_FLAGS = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the gate does beyond measuring pixels; folders are local model folders, "" for none.

    ``recut``: cut every picture out again with the segmenter. ``nsfw``: an image classifier, whose class
    ``nsfw_label`` may have a probability of at most ``nsfw_limit``. ``clip``: a CLIP model, whose cosine between
    picture and prompt must be at least ``clip_limit``.
    """

    recut: bool = False
    nsfw: str = ""
    nsfw_label: str = "nsfw"
    nsfw_limit: float = 0.5
    clip: str = ""
    clip_limit: float = 0.15

    def __post_init__(self) -> None:
        """Refuse limits that no number can meet, or that all do.

        Raises:
            SettingsError: naming the setting, its value and what is allowed.
        """
        for name, lowest in (("nsfw_limit", 0.0), ("clip_limit", -1.0)):
            value = getattr(self, name)
            if not lowest <= value <= 1:
                message = f"gate: {name} = {value}: it must be {lowest:g} to 1"
                raise SettingsError(message)

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> "GateSettings":
        """Read settings from text.

        Raises:
            SettingsError: if a name is unknown or a value does not fit.
        """
        kinds = {field.name: field.type for field in fields(cls)}
        unknown = sorted(options.keys() - kinds.keys())
        if unknown:
            message = f"gate: options {unknown} are unknown; use {sorted(kinds)}"
            raise SettingsError(message)
        return cls(**{name: _parsed(name, text, kinds[name]) for name, text in options.items()})


def _parsed(name: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text not in _FLAGS:
            message = f"gate: {name} = {text!r}: use yes or no"
            raise SettingsError(message)
        return _FLAGS[text]
    if kind is str:
        return text
    try:
        return float(text)
    except ValueError as error:
        message = f"gate: {name} = {text!r} is no number"
        raise SettingsError(message) from error
