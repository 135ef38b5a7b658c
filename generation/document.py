"""The YAML files that people write: a mapping with a version and what the file is about."""

from pathlib import Path

import yaml

from contracts import InvalidInputError

VERSION = 1


def read_document(path: Path, key: str) -> dict[str, object]:
    """Read a file of version 1 that has ``key``.

    Raises:
        InvalidInputError: naming the file and what is wrong with it.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} cannot be read as YAML: {error}"
        raise InvalidInputError(message) from error
    if not isinstance(document, dict) or document.get("version") != VERSION or key not in document:
        message = f"{path} must be a mapping with 'version: {VERSION}' and '{key}'"
        raise InvalidInputError(message)
    return document
