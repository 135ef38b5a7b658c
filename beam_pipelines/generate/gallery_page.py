"""The gallery's page: HTML, style, script and data in one file that asks nothing of the network."""

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files

_STATIC = "static"
# What could end the script element, open a comment in it, or end a line in older scripts.
_UNSAFE = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def page_of(title: str, data: Mapping[str, object], *, linked: bool) -> str:
    """The page that shows ``data``; ``linked`` lets it load pictures from beside it or from http(s).

    Texts of the data are strangers': as JSON they can end no element, and the script writes them as text only. The
    policy admits this very script and style, by their hashes, and nothing else.
    """
    style, script = _read("gallery.css"), _read("gallery.js")
    pictures = "data: file: http: https:" if linked else "data:"
    policy = (
        f"default-src 'none'; img-src {pictures}; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_UNSAFE)
    parts = {"POLICY": policy, "TITLE": escape(title), "STYLE": style, "SCRIPT": script, "DATA": text}
    # Cut before filling: a text that looks like a mark stays a text.
    return "".join(parts.get(piece, piece) for piece in _read("gallery.html").split("%%"))


def _read(name: str) -> str:
    return (files(__package__) / _STATIC / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
