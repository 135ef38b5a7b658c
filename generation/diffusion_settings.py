"""Settings of the diffusers backend, read from text."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from contracts import SettingsError

SCHEDULERS = ("model", "ddim", "dpm", "euler", "lcm", "unipc")
DTYPES = ("float32", "float16", "bfloat16")
_FLAGS = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class DiffusionSettings:
    """How to paint.

    ``model`` is a folder as the library's ``save_pretrained`` writes it, of a kind in ``model_kind``, or a hub's
    ``owner/name@revision``; ``controlnet`` the like for a ControlNet of its own (empty: the model's). With
    ``download`` a hub is asked for what this machine's cache lacks.
    ``side`` is the larger side in pixels at which the model paints, 0 the one that it was made for (the picture is
    then enlarged to the slot and the product pasted back at full size); ``into`` how far it paints under the product;
    ``control`` the weight of the edges. ``guidance_end`` and ``control_end`` are the shares of the steps after which
    classifier-free guidance (half of a step's work) and the ControlNet are left out: 1 keeps them to the end.
    ``scheduler`` is ``model`` for the one saved with the model; ``lcm`` is for few steps with weights made for it.
    ``batch`` is how many pictures of one size are painted at once; ``compile`` turns the networks into fused kernels,
    once per size and batch.
    """

    model: str
    steps: int = 20
    scheduler: str = "model"
    guidance: float = 7.5
    guidance_end: float = 1.0
    control: float = 0.6
    control_end: float = 1.0
    side: int = 0
    into: int = 4
    batch: int = 4
    device: str = "cpu"
    dtype: str = "float32"
    compile: bool = False
    controlnet: str = ""
    download: bool = False

    def __post_init__(self) -> None:
        """Refuse what no model can do.

        Raises:
            SettingsError: naming the setting, its value and what is allowed.
        """
        for name, known in (("scheduler", SCHEDULERS), ("dtype", DTYPES)):
            if getattr(self, name) not in known:
                self._refuse(name, f"use one of {', '.join(known)}")
        for name in ("guidance_end", "control_end"):
            if not 0 <= getattr(self, name) <= 1:
                self._refuse(name, "it is a share of the steps, 0 to 1")
        for name, least in (("steps", 1), ("side", 0), ("batch", 1)):
            if getattr(self, name) < least:
                self._refuse(name, f"it must be {least} or more")

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> "DiffusionSettings":
        """Read settings from text.

        Raises:
            SettingsError: if ``model`` is missing, a name is unknown or a value does not fit.
        """
        kinds = {field.name: field.type for field in fields(cls)}
        unknown = sorted(options.keys() - kinds.keys())
        if unknown or not options.get("model"):
            message = (
                "backend 'diffusers' needs the option model=FOLDER or model=OWNER/NAME and knows "
                f"{sorted(kinds)}; unknown are {unknown}"
            )
            raise SettingsError(message)
        values: dict[str, Any] = {name: _parsed(name, text, kinds[name]) for name, text in options.items()}
        return cls(**values)

    def _refuse(self, name: str, rule: str) -> None:
        message = f"backend 'diffusers': {name} = {getattr(self, name)!r}: {rule}"
        raise SettingsError(message)


def _parsed(name: str, text: str, kind: Any) -> object:
    if kind is bool:
        if text not in _FLAGS:
            message = f"backend 'diffusers': {name} = {text!r}: use yes or no"
            raise SettingsError(message)
        return _FLAGS[text]
    try:
        return kind(text)
    except ValueError as error:
        message = f"backend 'diffusers': {name} = {text!r} is no number"
        raise SettingsError(message) from error
