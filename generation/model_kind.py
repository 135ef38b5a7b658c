"""The families of diffusion models that can paint, told apart by the class that a model's index names."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts import SetupError

# What stands between a family's name and "Pipeline" in the classes that hold the same networks.
_SAVED_AS = frozenset({"", "Inpaint", "Img2Img", "ControlNet", "ControlNetInpaint", "ControlNetImg2Img"})
DIFFUSERS_WEIGHTS, TRANSFORMERS_WEIGHTS = "diffusion_pytorch_model", "model"
_NETWORKS = {
    "unet": DIFFUSERS_WEIGHTS,
    "vae": DIFFUSERS_WEIGHTS,
    "controlnet": DIFFUSERS_WEIGHTS,
    "text_encoder": TRANSFORMERS_WEIGHTS,
}


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A family: ``pipeline`` is the library's class, ``without`` what it is opened with, beside the networks.

    ``networks`` gives each network's folder and the stem of its weights' names; ``tokenizers`` pairs each tokenizer's
    folder with its text encoder's; ``side`` is the larger side in pixels that such models were made for.
    """

    pipeline: str
    networks: Mapping[str, str]
    tokenizers: tuple[tuple[str, str], ...]
    side: int
    without: Mapping[str, bool | None]

    @property
    def parts(self) -> tuple[str, ...]:
        """Every folder of a whole pipeline."""
        return (*self.networks, *(tokenizer for tokenizer, _ in self.tokenizers), "scheduler")


SD = ModelKind(
    pipeline="StableDiffusionControlNetInpaintPipeline",
    networks=_NETWORKS,
    tokenizers=(("tokenizer", "text_encoder"),),
    side=512,
    without={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
)
# Podell et al. (2023), arXiv 2307.01952: two text encoders, and sizes as conditions.
SDXL = ModelKind(
    pipeline="StableDiffusionXLControlNetInpaintPipeline",
    networks={**_NETWORKS, "text_encoder_2": TRANSFORMERS_WEIGHTS},
    tokenizers=(("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")),
    side=1024,
    without={"image_encoder": None, "feature_extractor": None, "add_watermarker": False},
)


def kind_of(index: Mapping[str, object], where: str) -> ModelKind:
    """The kind of the model whose index, at ``where``, was read.

    Raises:
        SetupError: if no kind can paint with it.
    """
    named = str(index.get("_class_name", ""))
    if index.get("requires_aesthetics_score"):
        message = f"{where}: a model that wants an aesthetics score (a refiner) cannot paint backgrounds: use its base"
        raise SetupError(message)
    # Only the networks count, not which of its family's pipelines they were saved from.
    for kind, family in ((SDXL, "StableDiffusionXL"), (SD, "StableDiffusion")):
        rest = named.removeprefix(family)
        if rest != named and rest.removesuffix("Pipeline") in _SAVED_AS:
            return kind
    message = f"{where} is of a {named or 'pipeline without a class'}: use a {SD.pipeline} or a {SDXL.pipeline}"
    raise SetupError(message)
