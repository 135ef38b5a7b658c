"""Numbers from local models of the library transformers; no hub is asked."""

from pathlib import Path
from typing import Any

from PIL import Image

from contracts import SetupError
from generation.arrays import Pixels


class ImageClassifier:
    """The probability of one class of an image classifier, such as one for pictures not safe for work."""

    def __init__(self, folder: str, label: str) -> None:
        """Load the model and its image processor.

        Raises:
            SetupError: if the folder holds no image classifier, or it has no class ``label``.
        """
        self._processor, self._model = _loaded(folder, "AutoImageProcessor", "AutoModelForImageClassification")
        labels = {str(name).lower(): int(number) for number, name in self._model.config.id2label.items()}
        if label.lower() not in labels:
            message = f"model {folder} has no class {label!r}: use one of {sorted(labels)}"
            raise SetupError(message)
        self._class = labels[label.lower()]

    def __call__(self, picture: Pixels, text: str) -> float:
        """Probability, 0 to 1; the text does not matter."""
        import torch

        with torch.inference_mode():
            logits = self._model(**self._processor(images=Image.fromarray(picture), return_tensors="pt")).logits
        return float(torch.softmax(logits[0].float(), dim=-1)[self._class])


class ClipAgreement:
    """Cosine between a CLIP model's views of a picture and of its prompt (Radford et al. 2021)."""

    def __init__(self, folder: str) -> None:
        """Load the model with its tokenizer and image processor.

        Raises:
            SetupError: if the folder holds no CLIP model.
        """
        self._processor, self._model = _loaded(folder, "CLIPProcessor", "CLIPModel")

    def __call__(self, picture: Pixels, text: str) -> float:
        """Cosine, -1 to 1; of a text longer than the model takes, its beginning counts."""
        import torch

        longest = self._model.config.text_config.max_position_embeddings
        inputs = self._processor(
            text=[text], images=Image.fromarray(picture), return_tensors="pt", truncation=True, max_length=longest
        )
        with torch.inference_mode():
            found = self._model(**inputs)
        return float(torch.cosine_similarity(found.image_embeds, found.text_embeds)[0])


def _loaded(folder: str, processor: str, model: str) -> tuple[Any, Any]:
    if not Path(folder).is_dir():
        message = f"model folder {folder} does not exist: give a folder as save_pretrained writes it"
        raise SetupError(message)
    try:
        import transformers
    except ImportError as error:
        message = "the gate's models need torch and transformers: run `make setup-diffusers`"
        raise SetupError(message) from error
    try:
        parts = [
            getattr(transformers, name).from_pretrained(folder, local_files_only=True) for name in (processor, model)
        ]
    except (OSError, ValueError, KeyError) as error:
        message = f"model folder {folder} holds no {model} with its {processor} ({error})"
        raise SetupError(message) from error
    return parts[0], parts[1].eval()
