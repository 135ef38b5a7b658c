"""The feast command in feature_repo/, as any Feast user runs it, on stores of our own choice."""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from feature_repo import ensure_stats, load_aggregates, write_profiles, write_store_config
from stores import EmbeddedRedis, connect
from stores.child import choose_port
from stores.connect import command
from tests.feature_repo import profiles
from tests.feature_repo.conftest import NOW, REPO

# The command's own entry point; one process, because importing Feast takes longer than all it does here.
_RUN = """
import sys
from feast.cli.cli import cli
for words in sys.argv[1:]:
    print("##", words, flush=True)
    cli(words.split(), standalone_mode=False)
"""


def fingerprints(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
def test_plan_apply_list_materialize_and_ui_work_and_touch_nothing_in_the_folder(
    feature_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    tables = profiles.tables(NOW)
    write_profiles(tmp_path, users=tables["user"], items=tables["item"], placements=tables["placement"])
    # As `backdrop features` leaves them while no aggregation has run.
    ensure_stats(tmp_path, load_aggregates(REPO / "aggregates.yaml"))
    url = feature_redis.url.removesuffix("/0") + "/3"
    store_file = write_store_config(REPO, redis_url=url, registry_path=tmp_path / "registry.db")
    before = fingerprints(REPO)
    words = [
        "plan",
        "apply",
        "plan",
        "feature-views list",
        "entities list",
        "materialize 1970-01-02T00:00:00 2026-01-16T00:00:00",
    ]
    words.append("materialize-incremental 2026-01-17T00:00:00")
    environment = {**os.environ, "FEAST_FS_YAML_FILE_PATH": str(store_file), "BACKDROP_FEATURES_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        cwd=REPO,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Could not validate" not in done.stderr
    first, _, rest = done.stdout.partition("## apply")
    for view in ("user_profile", "user_stats", "placement_stats"):
        assert f"Created feature view {view}" in re.sub(r"\x1b\[\d*m", "", first)
    # Planned again, nothing is left to do.
    assert "Created" not in rest.partition("## plan")[2].partition("##")[0]
    listing = re.sub(r"\s+", " ", done.stdout.split("## feature-views list")[1].split("##")[0])
    for kind, entity in itertools.product(("profile", "stats"), ("user", "item", "placement")):
        assert f"{entity}_{kind} {{'{entity}'}} FeatureView" in listing
    assert_ui_answers(environment)
    assert fingerprints(REPO) == before
    client = connect(url)
    assert command(client, "DBSIZE") == profiles.USERS + profiles.ITEMS + len(profiles.PLACEMENTS)
    client.close()


def assert_ui_answers(environment: dict[str, str]) -> None:
    """``feast ui`` starts, shows its page and the registry on loopback, and ends when asked."""
    port = choose_port()
    child = subprocess.Popen(
        [sys.executable, "-c", _RUN, f"ui --host 127.0.0.1 --port {port}"],
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        page, deadline = b"", time.monotonic() + 120
        while not page and child.poll() is None and time.monotonic() < deadline:
            try:
                page = read(f"http://127.0.0.1:{port}/")
            except OSError:
                time.sleep(0.1)
        assert b"<html" in page, child.communicate(timeout=20)[0] if child.poll() is not None else "no answer"
        projects = json.loads(read(f"http://127.0.0.1:{port}/projects-list.json"))
        assert "backdrop" in {project["id"] for project in projects["projects"]}
    finally:
        child.terminate()
        child.wait(30)


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        data: bytes = answer.read()
        return data


def test_the_committed_store_file_points_at_a_local_redis() -> None:
    text = (REPO / "feature_store.yaml").read_text()
    assert 'connection_string: "localhost:6379"' in text
    assert "online_write_batch_size: 5000" in text
    assert "$" not in text


def test_only_definitions_are_read_by_feast() -> None:
    ignored = {line for line in (REPO / ".feastignore").read_text().splitlines() if not line.startswith("#")}
    others = {path.name for path in REPO.glob("*.py")} - {"__init__.py", "definitions.py"}
    assert ignored == others
