"""Where a model's files are: in a folder, or by a hub id in the cache, pinned to its commit."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from contracts import SetupError
from generation.diffusion_settings import DiffusionSettings
from generation.model_files import ModelFiles, check_controlnet, model_files
from generation.model_hub import HubId, cached, fetch
from generation.model_listing import CONFIG, INDEX, Listing, network_names, pipeline_kind, pipeline_names


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A whole model, and the settings that name it exactly.

    ``pins`` are the options ``model`` and ``controlnet`` as hub ids with their commits, for those that are hub ids.
    """

    files: ModelFiles
    settings: DiffusionSettings
    pins: Mapping[str, str]


def find_model(settings: DiffusionSettings) -> FoundModel:
    """Find and check the model that the settings name; only with ``download`` is a hub asked, and only for what lacks.

    Raises:
        SetupError: naming what is missing or cut off, and how to get it.
    """
    pins: dict[str, str] = {}
    controlnet = None
    if settings.controlnet:
        controlnet, pin = _located(settings, "controlnet", CONFIG, check_controlnet, network_names)
        pins |= pin
    own = controlnet is None

    def pick(listing: Listing) -> Iterable[str]:
        return pipeline_names(listing, pipeline_kind(listing, own_controlnet=own), own_controlnet=own)

    folder, pin = _located(settings, "model", INDEX, lambda folder: model_files(folder, controlnet), pick)
    pins |= pin
    named = {name: pins.get(name, getattr(settings, name)) for name in ("model", "controlnet")}
    pinned = replace(settings, model=named["model"], controlnet=named["controlnet"])
    return FoundModel(model_files(folder, controlnet), pinned, pins)


def _located(
    settings: DiffusionSettings,
    option: str,
    marker: str,
    check: Callable[[Path], object],
    pick: Callable[[Listing], Iterable[str]],
) -> tuple[Path, dict[str, str]]:
    """The folder of an option's model, checked, and the option's pin."""
    text: str = getattr(settings, option)
    hub = HubId.parse(text)
    if hub is None or Path(text).is_dir():
        check(Path(text))
        return Path(text), {}
    folder = cached(hub, marker)
    if settings.download and (folder is None or not _passes(check, folder)):
        # What the cache holds of a branch stays its commit: a branch that moved is not followed unasked.
        folder = fetch(hub if folder is None else HubId(hub.repo, folder.name), pick)
    if folder is None:
        message = (
            f"{option} = {text!r} is no folder, and as a hub's model not in the cache of this machine: set the option "
            f"download=yes once, or run `hf download {hub.repo} --revision {hub.revision}`"
        )
        raise SetupError(message)
    try:
        check(folder)
    except SetupError as error:
        advice = "`hf cache rm model/" + hub.repo + "`, then the option download=yes, fetches it anew"
        message = f"{option} = {text!r}: {error}; {advice if settings.download else 'or set the option download=yes'}"
        raise SetupError(message) from error
    return folder, {option: str(HubId(hub.repo, folder.name))}


def _passes(check: Callable[[Path], object], folder: Path) -> bool:
    try:
        check(folder)
    except SetupError:
        return False
    return True
