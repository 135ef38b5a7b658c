"""``python -m backdrop.serve_worker``: one of the server's processes, as ``serving.Supervisor`` starts it."""

import sys

from backdrop.logging import configure_logging
from contracts import BackdropError
from serving import Place, ServerConfig, work


def main() -> int:
    """Serve until told to end; an error of ours is one sentence."""
    configure_logging()
    try:
        work(ServerConfig.from_json(sys.stdin.buffer.read()), Place.of(sys.argv[1:]))
    except BackdropError as error:
        sys.stderr.write(f"backdrop: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
