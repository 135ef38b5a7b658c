"""Whose numbers the server's metrics are."""

from pathlib import Path

import pytest

from serving.metrics import FOLDER_VARIABLE, Metrics

COUNTED = b'backdrop_rejected_requests_total{reason="not_json"} 1.0'


def test_a_folder_that_the_environment_names_is_not_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    for _ in range(2):
        metrics = Metrics()
        metrics.rejected("not_json")
        assert COUNTED in metrics.render()
    assert not list(tmp_path.iterdir())
