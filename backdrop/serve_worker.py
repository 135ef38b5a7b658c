"""``python -m backdrop.serve_worker [READER …] PLACE``: one of the server's processes, as the supervisor starts it."""

import sys

from backdrop.logging import configure_logging
from backdrop.wiring import reader_of
from contracts import BackdropError
from serving import Place, ServerConfig, work


def main() -> int:
    """Serve until told to end; an error of ours is one sentence."""
    configure_logging()
    try:
        *reader, slot, listener, reports, again, hung = sys.argv[1:]
        config = ServerConfig.from_json(sys.stdin.buffer.read())
        work(config, Place.of((slot, listener, reports, again, hung)), reader_of(reader))
    except BackdropError as error:
        sys.stderr.write(f"backdrop: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
