import contextlib
import importlib
import io
import json
import logging
import sys

import pytest
import structlog

from backdrop.logging import configure_logging


def test_logs_are_json_lines_on_standard_error_and_levels_below_are_left_out() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        configure_logging("WARNING")
        structlog.get_logger().info("quiet")
        structlog.get_logger().warning("loud", place="here")
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["place"]) == ("loud", "warning", "here")


def test_a_stream_that_is_gone_is_not_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        configure_logging()
    stream.close()
    structlog.get_logger().info("still here")
    assert "still here" in capsys.readouterr().err


def test_beam_does_not_tell_users_what_they_have_not_installed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bigquery = importlib.import_module("apache_beam.io.gcp.internal.clients.bigquery")
    monkeypatch.setitem(sys.modules, "apitools.base.py", None)
    configure_logging("WARNING")
    importlib.reload(bigquery)
    logging.warning("another")
    assert caplog.messages == ["another"]
