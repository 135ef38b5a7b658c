"""Runs a server of its own, as `backdrop serve` does: python -m tests.serving.server_process '<config as JSON>'."""

import sys
from pathlib import Path

import msgspec

from serving import ServerConfig, serve

if __name__ == "__main__":
    serve(msgspec.json.decode(sys.argv[1], type=ServerConfig, dec_hook=lambda _, text: Path(text)))
