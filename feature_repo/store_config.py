"""A feature_store.yaml for another Redis and registry, so that the tracked one need not be edited."""

import json
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from contracts import InvalidInputError, SetupError
from feature_repo.files import write_whole

_DEFAULT_PORT = 6379


def write_store_config(repo_path: Path, *, redis_url: str, registry_path: Path) -> Path:
    """Write the repository's feature_store.yaml with this Redis and registry, beside the registry; returns its path.

    Set ``FEAST_FS_YAML_FILE_PATH`` to it and every ``feast`` command in the repository uses it.

    Raises:
        InvalidInputError: if the URL is not one that Feast can be told.
        SetupError: if the repository's file cannot be read or the new one not written.
    """
    source = repo_path / "feature_store.yaml"
    try:
        config = yaml.safe_load(source.read_text(encoding="utf-8"))
        config["online_store"]["connection_string"] = connection_string(redis_url)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        message = f"{source} is not a Feast store file with an online store ({error}): mend it"
        raise SetupError(message) from error
    config["registry"] = str(registry_path.resolve())
    # Feast expands $NAME in this file: a password may hold one.
    text = yaml.safe_dump(config, sort_keys=False)
    if "$" in text:
        message = "a Redis password or path with '$' cannot be written for Feast, which expands it: choose another"
        raise InvalidInputError(message)
    return write_whole(registry_path.resolve().parent / "feature_store.yaml", text.encode())


def connection_string(redis_url: str) -> str:
    """Feast's form ("host:port,db=0,password=…,ssl=true") of a redis:// or rediss:// URL.

    Raises:
        InvalidInputError: if the URL is of another kind.
    """
    # Without the part that may hold a password.
    shown = redis_url.rpartition("@")[2]
    try:
        url = urlsplit(redis_url)
        port = url.port or _DEFAULT_PORT
    except ValueError as error:
        message = f"Redis URL {shown!r} is not valid: {error}"
        raise InvalidInputError(message) from error
    database = url.path.strip("/") or next(iter(parse_qs(url.query).get("db", [])), "0")
    if url.scheme not in {"redis", "rediss"} or not url.hostname or not database.isdecimal():
        message = f"Redis URL {shown!r} must look like redis://[user:password@]host:port/0 for Feast"
        raise InvalidInputError(message)
    parts = [f"{url.hostname}:{port}", f"db={database}"]
    for name, value in (("username", url.username), ("password", url.password)):
        if value:
            parts.append(f"{name}={_text(name, unquote(value))}")
    if url.scheme == "rediss":
        parts.append("ssl=true")
    return ",".join(parts)


def _text(name: str, value: str) -> str:
    if "," in value:
        message = f"a Redis {name} with a comma cannot be written for Feast: choose another"
        raise InvalidInputError(message)
    try:
        json.loads(value)
    except json.JSONDecodeError:
        return value
    # Feast reads each value as JSON where it can: a password of digits would become a number.
    return json.dumps(value)
