import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backdrop.cli import app
from contracts import SettingsError
from serving import load_keyring


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BACKDROP_")]:
        monkeypatch.delenv(name)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, words, env={"TERMINAL_WIDTH": "200", "NO_COLOR": "1"})


def test_keys_are_rotated_and_listed_without_their_secrets(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"keyring\.json cannot be read"):
        CliRunner().invoke(app, ["keys", "list"], catch_exceptions=False)
    first, second = invoke("keys", "rotate"), invoke("keys", "rotate")
    assert (first.exit_code, second.exit_code) == (0, 0)
    path = tmp_path / ".backdrop/keys/keyring.json"
    ring = load_keyring(path)
    assert sorted(ring.keys) == [1, 2, 3]
    listed = invoke("keys", "list").output
    assert "3 keys" in listed
    assert listed.index("key 3:") < listed.index("key 2:") < listed.index("key 1:")
    assert "key 1: made" in listed and ", seals, until" in listed
    assert "key 3: made" in listed and "opens, seals in a moment" in listed
    stored = path.read_text()
    for output in (first.output, second.output, listed):
        assert not any(word.strip('",') in output for word in stored.split() if len(word) > 40)


def test_a_ring_that_others_may_read_is_refused(tmp_path: Path) -> None:
    invoke("keys", "rotate")
    (tmp_path / ".backdrop/keys/keyring.json").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        CliRunner().invoke(app, ["keys", "list"], catch_exceptions=False)


def test_a_key_is_revoked_and_another_takes_its_place(tmp_path: Path) -> None:
    invoke("keys", "rotate")
    told = invoke("keys", "revoke", "2")
    assert told.exit_code == 0
    assert "key 2 revoked" in told.output
    listed = invoke("keys", "list").output
    assert "key 2: made" in listed and "revoked, remembered, until" in listed
    assert "key 3: made" in listed
    ring = load_keyring(tmp_path / ".backdrop/keys/keyring.json")
    assert [key.key_id for key in ring.keys.values() if key.revoked] == [2]
    with pytest.raises(SettingsError, match="no key 9 in the ring"):
        CliRunner().invoke(app, ["keys", "revoke", "9"], catch_exceptions=False)
    assert invoke("keys", "revoke").exit_code != 0
