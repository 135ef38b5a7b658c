import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import openapi_spec_validator
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.ids import MAX_NAME_CHARS, MAX_USER_CHARS
from serving.operations import OPERATIONS
from stores import EmbeddedRedis, connect
from tests.serving.world import ROOT, ServerProcess, fill

# Answered only where something is slow, too large, away, or already known to the client: tested one by one.
ELSEWHERE = {("decide", "408"), ("decide", "413"), ("events", "408"), ("events", "413"), ("events", "503"),
             ("readyz", "503"), ("media", "304"), ("openapi", "304"), ("click", "204")}  # fmt: skip


@pytest.fixture(scope="module")
def document(server: ServerProcess) -> Any:
    return server.get("/openapi.json").json()


def test_the_document_is_openapi_3_1(document: Any) -> None:
    openapi_spec_validator.validate(document)
    assert document["openapi"].startswith("3.1.")


def test_its_examples_are_what_they_are_examples_of(document: Any) -> None:
    def schemas_with_examples(part: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(part, dict):
            if "schema" in part and "example" in part:
                yield part["schema"], part["example"]
            for inner in part.values():
                yield from schemas_with_examples(inner)

    found = list(schemas_with_examples(document["paths"]))
    assert len(found) >= 5
    for schema, example in found:
        jsonschema_rs.validate(schema | {"components": document["components"]}, example)


def test_it_says_all_that_the_server_does_and_no_more(server: ServerProcess, document: Any) -> None:
    routes = {path: set(methods) for path, methods in document["paths"].items()}
    assert routes == {
        "/v1/decide": {"post"},
        "/v1/events": {"post"},
        "/v1/i/{token}": {"get"},
        "/v1/c/{token}": {"get"},
        "/media/creatives/{folder}/{name}.jpg": {"get", "head"},
        "/healthz": {"get", "head"},
        "/readyz": {"get", "head"},
        "/metrics": {"get", "head"},
        "/openapi.json": {"get", "head"},
    }
    # A route without an entry would be missing above; an entry without a route, here.
    assert {methods[verb]["operationId"] for methods in document["paths"].values() for verb in methods} == {
        *OPERATIONS,
        *(f"{name}_head" for name in ("media", "healthz", "readyz", "metrics", "openapi")),
    }
    assert document["servers"] == [{"url": server.config.base_url}]


def test_health_has_the_fields_that_it_says(server: ServerProcess, document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert set(server.get("/readyz").json()) == set(schemas["ReadyOut"]["required"])
    assert set(server.get("/healthz").json()) == set(schemas["AliveOut"]["required"])


def test_its_limits_are_those_of_the_settings(shop_redis: EmbeddedRedis, tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "small", shop_redis.url, max_items=3, max_events=2) as small:
        schemas = small.get("/openapi.json").json()["components"]["schemas"]
        assert schemas["DecideIn"]["properties"]["items"]["anyOf"][0]["maxItems"] == 3
        assert schemas["EventsIn"]["properties"]["events"]["maxItems"] == 2
        items = [{"id": "sofa-1"}] * 4
        refused = small.post("/v1/decide", {"user": "ann", "placement": "story", "items": items})
        assert (refused.status, refused.json()["error"]) == (400, "wrong_count")
        assert small.post("/v1/decide", {"user": "ann", "placement": "story", "items": items[:3]}).status == 200


def test_it_is_cached_by_its_tag(server: ServerProcess) -> None:
    found = server.get("/openapi.json")
    assert found.headers["cache-control"] == "public, max-age=300"
    again = server.ask("GET", "/openapi.json", headers={"If-None-Match": found.headers["etag"]})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", found.headers["etag"])


def test_every_reason_that_it_gives_is_in_the_documentation(document: Any) -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    reasons = {reason for each in OPERATIONS.values() for answer in each.answers.values() for reason in answer.reasons}
    reasons |= set(document["components"]["schemas"]["EventOut"]["properties"]["status"]["enum"])
    assert len(reasons) > 15
    assert {reason for reason in reasons if f"`{reason}`" not in text} == set()


names = st.text(max_size=MAX_NAME_CHARS + 2) | st.from_regex(r"[\w.~@+-]{1,140}", fullmatch=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names)
def test_no_name_that_is_taken_breaks_the_documents_rule(server: ServerProcess, document: Any, name: str) -> None:
    """The document may be wider than the server (letters of other scripts), never narrower."""
    rule = document["components"]["schemas"]["DecideIn"]["properties"]["placement"]
    body = {"user": "ann", "placement": name, "item": {"id": "sofa-1", "image_url": "/a.jpg"}}
    taken = server.post("/v1/decide", body).status == 200
    fits = len(name) in range(rule["minLength"], rule["maxLength"] + 1) and name not in rule["not"]["enum"]
    fits = fits and re.fullmatch(rule["pattern"], name) is not None
    assert fits or not taken
    assert taken or not (fits and name.isascii())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=MAX_USER_CHARS + 2))
def test_no_user_that_is_taken_breaks_the_documents_rule(server: ServerProcess, document: Any, user: str) -> None:
    rule = document["components"]["schemas"]["DecideIn"]["properties"]["user"]
    taken = server.post("/v1/decide", {"user": user, "placement": "story", "item": {"id": "sofa-1"}}).status == 200
    fits = len(user) in range(rule["minLength"], rule["maxLength"] + 1)
    fits = fits and re.fullmatch(rule["pattern"], user) is not None
    assert fits or not taken
    assert taken or not (fits and user.isascii())


@pytest.mark.slow
def test_the_server_does_what_the_document_says(tmp_path: Path) -> None:
    """Schemathesis with all its checks, against a server process and a log of their own."""
    with (
        EmbeddedRedis(tmp_path / "redis") as redis_server,
        ServerProcess(tmp_path / "server", redis_server.url, append_timeout_ms=20_000) as server,
    ):
        fill(connect(redis_server.url))
        token = server.decide()["impression_url"].rpartition("/")[2]
        assert server.config.objects_root is not None
        picture = server.config.objects_root / "creatives" / "ab" / "abc.jpg"
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"picture")
        config = tmp_path / "schemathesis.toml"
        config.write_text('hooks = "tests.serving.schemathesis_hooks"\n')
        options = (
            "--checks all --max-examples 25 --max-redirects 0 --generation-codec ascii --generation-database none"
            " --continue-on-failure --no-color --seed 1"
        )
        tool = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command = [*tool, f"{server.config.base_url}/openapi.json", *options.split()]
        found = subprocess.run(
            command,
            # It leaves a cache where it runs.
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "BACKDROP_TEST_TOKEN": token, "BACKDROP_TEST_PICTURE": "ab/abc"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert found.returncode == 0, re.sub(r"(\{[^{}]*\}, ){9,}", "…", found.stdout)[-8000:] + found.stderr[-2000:]
        metrics = server.get("/metrics").body.decode()
    seen = set(re.findall(r'backdrop_requests_total\{route="(\w+)",status="(\d+)"\}', metrics))
    said = {(name, str(status)) for name, each in OPERATIONS.items() for status in each.answers}
    assert said - seen == ELSEWHERE
    # What has no route of its own: unknown paths and wrong methods.
    assert seen - said == {("none", "404"), ("none", "405")}
