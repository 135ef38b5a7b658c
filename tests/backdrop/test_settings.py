from pathlib import Path

import pytest

from backdrop.settings import load_settings
from contracts import InvalidInputError, SettingsError


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BACKDROP_CONFIG", raising=False)


def test_flags_win_over_environment_which_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backdrop.toml").write_text('partitions = 2\n[serve]\nport = 1001\nhost = "0.0.0.0"\nstudio = false\n')
    monkeypatch.setenv("BACKDROP_SERVE__PORT", "1002")
    monkeypatch.setenv("BACKDROP_SERVE__HOST", "127.0.0.2")
    settings = load_settings(serve={"port": 1003, "host": None})
    assert (settings.serve.port, settings.serve.host, settings.serve.studio) == (1003, "127.0.0.2", False)
    assert settings.partitions == 2


def test_urls_and_paths_follow_from_what_is_set() -> None:
    settings = load_settings(serve={"host": "127.0.0.1", "port": 9000}, home=Path("state"))
    assert settings.public_url == "http://127.0.0.1:9000"
    assert settings.media_url == "http://127.0.0.1:9000/media"
    assert settings.objects_location == str(Path("state/objects").resolve())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"serve": {"port": 99_999}}, "serve.port"),
        ({"serve": {"prot": 1}}, "serve.prot"),
        ({"lineage": {"gamma": 0}}, "lineage.gamma"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_setting_is_named(flags: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        load_settings(**flags)


def test_a_broken_or_absent_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backdrop.toml").write_text("[serve\n")
    with pytest.raises(SettingsError, match="table declaration"):
        load_settings()
    monkeypatch.setenv("BACKDROP_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load_settings()


def test_seconds_become_the_lineages_milliseconds() -> None:
    section = load_settings(lineage={"window_s": 10, "attribution_s": 20, "grace_s": 0.5}).lineage
    resolved = section.resolve(schema_hash="h", d=4)
    assert (resolved.window_ms, resolved.attribution_ms, resolved.grace_ms) == (10_000, 20_000, 500)
    assert resolved.gamma == 1.0
    with pytest.raises(InvalidInputError, match="d = 0"):
        section.resolve(schema_hash="h", d=0)


def test_a_half_life_becomes_the_lineages_gamma() -> None:
    section = load_settings(lineage={"window_s": 300, "half_life_s": 3600}).lineage
    gamma = section.resolve(schema_hash="h", d=4).gamma
    assert gamma**12 == pytest.approx(0.5, abs=1e-9)
    assert load_settings(lineage={"gamma": 0.5}).lineage.resolve(schema_hash="h", d=4).gamma == 0.5


def test_gamma_and_half_life_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match=r"half_life_s = 60\.0 and gamma = 0\.5 .*set one"):
        load_settings(lineage={"gamma": 0.5, "half_life_s": 60})
