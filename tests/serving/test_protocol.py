import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from serving import ServerConfig
from serving.protocol import connection_limits
from tests.serving.world import ROOT

CONFIG = ServerConfig("redis://127.0.0.1:1", Path("plan"), Path("schema"), Path("keys"))


def test_limits_come_from_the_settings() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    changed = replace(CONFIG, max_connections=70, head_limit_bytes=99, head_timeout_ms=1_500, idle_ms=2_500)
    limits = connection_limits(changed)
    assert (limits.connections, limits.head_bytes, limits.head_s, limits.idle_s) == (70, 99, 1.5, 2.5)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_a_process_with_few_descriptors_holds_fewer_connections_and_takes_all_it_may() -> None:
    code = (
        "import resource; from serving.protocol import connection_limits\n"
        "from tests.serving.test_protocol import CONFIG\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 1000))\n"
        "print(connection_limits(CONFIG).connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout.split() == ["744", "1000"]
