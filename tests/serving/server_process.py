"""Runs a server of its own, as `backdrop serve` does: python -m tests.serving.server_process '<config as JSON>'."""

import sys

from serving import ServerConfig, Supervisor, serve

WORKER = (sys.executable, "-m", "backdrop.serve_worker")

if __name__ == "__main__":
    config = ServerConfig.from_json(sys.argv[1].encode())
    if config.workers > 1:
        Supervisor(config, WORKER).run()
    else:
        serve(config)
