"""What paints backgrounds: the interface, and how a backend is found by name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from contracts import Prompt, SettingsError
from generation.arrays import Pixels
from generation.layout import Placed

ENTRY_POINT_GROUP = "backdrop.backends"


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One background to paint: round a placed product, for a prompt, from a seed."""

    placed: Placed
    prompt: Prompt
    seed: int


class Backend(Protocol):
    """Paints backgrounds. Equal requests give equal pixels, alone or in any batch (to one level of 255)."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    @property
    def recipe(self) -> str:
        """Version and every setting that changes its pictures: part of a creative's id."""
        ...

    def check(self, prompt: Prompt) -> None:
        """Refuse a prompt (placeholders filled) that the backend could not take whole: none is ever cut.

        Raises:
            PromptError: ``prompt_too_long``, saying its length and the limit.
        """
        ...

    def render(self, requests: Sequence[RenderRequest]) -> list[Pixels]:
        """Backgrounds u8[h, w, 3], each of its request's slot size, in order. The product is pasted on later."""
        ...


BackendMaker = Callable[[Mapping[str, str]], Backend]


def open_backend(name: str, options: Mapping[str, str]) -> Backend:
    """Make the backend registered under ``name``; ``options`` are its own (as text).

    Built in are ``procedural`` and ``diffusers``; other packages add theirs by an entry point in the group
    ``backdrop.backends`` that names a function of the options.

    Raises:
        SettingsError: if nothing is registered under that name, or the options are wrong.
    """
    if name == "procedural":
        return _procedural(options)
    if name == "diffusers":
        return _diffusers(options)
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        known = sorted({"procedural", "diffusers", *found})
        message = f"backend {name!r} is not known: use one of {known}"
        raise SettingsError(message)
    make: BackendMaker = found[name].load()
    return make(options)


def pinned_options(name: str, options: Mapping[str, str]) -> Mapping[str, str]:
    """``options`` that mean the same elsewhere and later: a hub's branch is put down as its commit.

    Raises:
        SettingsError: if the options are wrong.
        SetupError: if the model is not to be found.
    """
    if name != "diffusers":
        return options
    from generation.diffusion_settings import DiffusionSettings
    from generation.model_source import find_model

    return {**options, **find_model(DiffusionSettings.from_options(options)).pins}


def _procedural(options: Mapping[str, str]) -> Backend:
    from generation.procedural import ProceduralBackend

    if options:
        message = f"backend 'procedural' takes no options, got {sorted(options)}"
        raise SettingsError(message)
    return ProceduralBackend()


def _diffusers(options: Mapping[str, str]) -> Backend:
    from generation.diffusion import DiffusersBackend
    from generation.diffusion_settings import DiffusionSettings

    return DiffusersBackend(DiffusionSettings.from_options(options))
