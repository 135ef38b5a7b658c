"""Gives schemathesis what no schema can: a sealed token, a picture that exists. Loaded by its command line."""

import os
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

_TOKEN = os.environ["BACKDROP_TEST_TOKEN"]
_FOLDER, _NAME = os.environ["BACKDROP_TEST_PICTURE"].split("/")


@schemathesis.hook
def map_case(context: Any, case: Any) -> Any:
    """Where a request is meant to be good, put the real thing into it; the rest stays as generated."""
    if case.meta is None or case.meta.generation.mode == GenerationMode.POSITIVE:
        _fill(case)
    return case


@schemathesis.hook
def before_add_examples(context: Any, examples: list[Any]) -> None:
    """The same for the document's examples."""
    for case in examples:
        _fill(case)


def _fill(case: Any) -> None:
    parameters = case.path_parameters or {}
    for name, value in (("token", _TOKEN), ("folder", _FOLDER), ("name", _NAME)):
        if name in parameters:
            parameters[name] = value
    if case.operation.path == "/v1/events" and isinstance(case.body, dict) and case.body.get("events"):
        case.body["events"][0] = {"token": _TOKEN, "kind": "click"}
