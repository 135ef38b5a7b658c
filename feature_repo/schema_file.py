"""The context schema as people write it: YAML."""

from pathlib import Path

import yaml

from contracts import ContextSchema, InvalidInputError


def load_context_schema(path: Path) -> ContextSchema:
    """Read a context schema from a YAML file (``context.yaml`` beside this file is the demo's).

    Raises:
        InvalidInputError: naming the file and what is wrong.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"context schema {path} cannot be read: {error}"
        raise InvalidInputError(message) from error
    try:
        return ContextSchema.from_document(document)
    except InvalidInputError as error:
        message = f"context schema {path}: {error}"
        raise InvalidInputError(message) from error
