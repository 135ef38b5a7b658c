"""Settings to parts: every value arrives where it is used, in its unit."""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from backdrop.runners import find_prism
from backdrop.settings import Settings, load_settings
from backdrop.wiring import (
    admin_config,
    generate_config,
    learn_config,
    model_settings,
    read_schema,
    server_config,
)
from beam_pipelines.learn import ActivityConfig, LearnConfig
from contracts import (
    Bias,
    ContextSchema,
    InvalidInputError,
    LineageSettings,
    Present,
    SettingsError,
    SetupError,
    WritePlan,
)
from learner import ModelSettings
from serving import AdminConfig, ServerConfig
from stores import open_objects
from tests.beam_pipelines.activity_oracle import PLAN
from tests.stores.feast_bytes import PLAN as OTHER_PLAN

SCHEMA = ContextSchema((Bias(), Present("user_profile:device")))
LINEAGE = {"id": "autumn", "window_s": 10, "attribution_s": 20.5, "grace_s": 0.25, "shards": 3, "gamma": 0.5}


@pytest.fixture(autouse=True)
def _bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BACKDROP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, mode: int = 0o755) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
        return path

    return make


def settings_of(home: Path, **flags: object) -> Settings:
    return load_settings(home=home, tools=home / "tools", **flags)


def compiled(home: Path, **flags: object) -> Settings:
    settings = settings_of(home, **flags)
    settings.schema_path.parent.mkdir(parents=True)
    settings.schema_path.write_bytes(SCHEMA.to_json())
    settings.write_plan_path.write_bytes(PLAN.to_json())
    return settings


def test_the_server_gets_what_is_set(tmp_path: Path) -> None:
    config = server_config(
        settings_of(
            tmp_path,
            redis_url="redis://127.0.0.1:7000/3",
            partitions=9,
            objects_uri="gs://bucket/shop",
            lineage=LINEAGE,
            serve={
                "host": "0.0.0.0",
                "port": 9001,
                "public_url": "https://ads.example",
                "media_url": "https://cdn.example/shop",
                "allowed_hosts": ("shop.example",),
                "cors_origins": ("https://shop.example",),
                "redis_deadline_ms": 35,
                "body_limit_bytes": 2048,
                "studio": True,
                "workers": 3,
                "cap_impressions": 4,
                "cap_window_s": 90.5,
                "sync_pixels": True,
                "access_log_every": 7,
                "drain_notice_s": 1.5,
                "hung_after_s": 4.5,
            },
        )
    )
    assert (config.redis_url, config.host, config.port) == ("redis://127.0.0.1:7000/3", "0.0.0.0", 9001)
    assert (config.window_ms, config.attribution_ms, config.grace_ms) == (10_000, 20_500, 250)
    assert (config.partitions, config.read_deadline_ms, config.body_limit_bytes) == (9, 35, 2048)
    assert (config.public_base_url, config.media_base_url) == ("https://ads.example", "https://cdn.example/shop")
    assert config.allowed_hosts == ("shop.example",)
    assert config.cors_origins == ("https://shop.example",)
    assert config.objects_root is None
    assert config.studio
    assert (config.workers, config.cap_impressions, config.cap_window_ms) == (3, 4, 90_500)
    assert (config.sync_pixels, config.access_log_every, config.drain_notice_ms) == (True, 7, 1500)
    assert config.hung_after_ms == 4500
    assert ServerConfig.from_json(config.to_json()) == config


def test_a_worker_must_be_given_time_to_be_heard(tmp_path: Path) -> None:
    assert server_config(settings_of(tmp_path, serve={"hung_after_s": 0})).hung_after_ms == 0
    with pytest.raises(InvalidInputError, match="hung_after_ms = 500: must be 0"):
        server_config(settings_of(tmp_path, serve={"hung_after_s": 0.5}))


def test_a_setting_left_out_is_what_the_server_takes_by_itself(tmp_path: Path) -> None:
    config = server_config(settings_of(tmp_path))
    plain = ServerConfig(config.redis_url, config.plan_path, config.schema_path, config.keyring_path)
    local = {"objects_root", "media_base_url", "public_base_url"}
    assert {
        field.name for field in fields(config) if getattr(config, field.name) != getattr(plain, field.name)
    } == local


def test_the_servers_files_and_pictures_lie_at_home_unless_said_otherwise(tmp_path: Path) -> None:
    config = server_config(settings_of(tmp_path, serve={"port": 9001}))
    assert config.plan_path == tmp_path / "features/plan.json"
    assert config.schema_path == tmp_path / "features/context.json"
    assert config.keyring_path == tmp_path / "keys/keyring.json"
    assert config.objects_root == tmp_path / "objects"
    assert config.media_base_url == "http://127.0.0.1:9001/media"
    assert config.base_url == "http://127.0.0.1:9001"
    assert not config.studio


def test_the_admin_port_needs_a_secret_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def admin(**serve: object) -> AdminConfig | None:
        return admin_config(settings_of(tmp_path, serve=serve))

    assert admin() is None
    file = tmp_path / "token"
    with pytest.raises(SettingsError, match="cannot be read"):
        admin(admin_port=9100, admin_token_file=file)
    file.write_text("t" * 20 + "\n")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        admin(admin_port=9100, admin_token_file=file)
    file.chmod(0o600)
    assert admin(admin_port=9100, admin_token_file=file) == AdminConfig("127.0.0.1", 9100, "t" * 20)
    with pytest.raises(SettingsError, match="needs a token"):
        admin(admin_port=9100)
    monkeypatch.setenv("BACKDROP_SERVE__ADMIN_TOKEN", "s3cret")
    with pytest.raises(SettingsError, match="6 characters"):
        admin(admin_port=9100)
    monkeypatch.setenv("BACKDROP_SERVE__ADMIN_TOKEN", "s3cret" * 5)
    found = admin(admin_port=9100)
    assert found == AdminConfig("127.0.0.1", 9100, "s3cret" * 5)
    assert "s3cret" not in repr(found) + repr(settings_of(tmp_path, serve={"admin_port": 9100}))


def test_a_server_needs_a_port(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="port = 0"):
        server_config(settings_of(tmp_path, serve={"port": 0}))


@pytest.mark.parametrize("uri", ["{folder}", "file://{folder}"])
def test_pictures_are_served_from_where_they_are_written(uri: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, objects_uri=uri.format(folder=tmp_path / "pictures"))
    open_objects(settings.objects_location).put_if_absent("creatives/ab/ab.jpg", b"picture", "image/jpeg")
    folder = server_config(settings).objects_root
    assert folder is not None
    assert (folder / "creatives/ab/ab.jpg").read_bytes() == b"picture"


def test_pictures_in_a_bucket_have_the_buckets_address_unless_another_is_set(tmp_path: Path) -> None:
    bucket = settings_of(tmp_path, objects_uri="gs://bucket/shop")
    assert generate_config(bucket, limit=0, only=(), dry_run=False).media_base_url == ""
    assert server_config(bucket).objects_root is None


def test_the_learner_gets_what_is_set_and_the_compiled_schema(tmp_path: Path, program: Callable[..., Path]) -> None:
    prism = program("tools/prism")
    config = learn_config(
        compiled(
            tmp_path,
            redis_url="redis://127.0.0.1:7000/3",
            partitions=9,
            lineage=LINEAGE,
            learn={"flush_ms": 250, "ridge": 2.5},
        )
    )
    assert (config.redis_url, config.lineage, config.runner_path) == ("redis://127.0.0.1:7000/3", "autumn", str(prism))
    assert config.settings == LineageSettings(SCHEMA.hash, SCHEMA.d, 10_000, 20_500, 250, 3, 0.5)
    assert (config.partitions, config.flush_ms, config.runner) == (9, 250, "prism")
    assert config.model == ModelSettings(ridge=2.5)
    assert config.archive_uri == str(tmp_path / "objects")


def test_a_hybrid_models_shared_entries_are_found_by_name_or_index(
    tmp_path: Path, program: Callable[..., Path]
) -> None:
    program("tools/prism")
    learn = {"model": "hybrid", "shared": ("has user_profile:device", 0), "ridge": 0.5}
    config = learn_config(compiled(tmp_path, learn=learn))
    assert config.model == ModelSettings("hybrid", ridge=0.5, shared=(1, 0))
    assert LearnConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize("entry", ["colour", 2, -1])
def test_an_unknown_shared_entry_is_refused(tmp_path: Path, entry: object) -> None:
    settings = compiled(tmp_path, learn={"model": "hybrid", "shared": (entry,)})
    with pytest.raises(SettingsError, match=rf"{entry!r}: use an index from 0 to 1, or one of \['bias'"):
        model_settings(settings)


def test_a_disjoint_model_shares_nothing_and_a_hybrid_one_has_no_prior(tmp_path: Path) -> None:
    disjoint = settings_of(tmp_path, learn={"prior": 20, "shared": ("colour",)})
    assert model_settings(disjoint) == ModelSettings(prior=20.0)
    with pytest.raises(InvalidInputError, match=r"prior = 20\.0"):
        model_settings(compiled(tmp_path, learn={"model": "hybrid", "prior": 20}))


def test_the_learner_publishes_activity_where_there_is_a_view_for_it(
    tmp_path: Path, program: Callable[..., Path]
) -> None:
    program("tools/prism")
    settings = compiled(tmp_path, learn={"activity_flush_ms": 700})
    found = learn_config(settings).activity
    assert found == ActivityConfig(PLAN.to_json().decode(), str(tmp_path / "objects"), 700)
    assert learn_config(settings_of(tmp_path, learn={"activity": False})).activity is None
    settings.write_plan_path.write_bytes(WritePlan(OTHER_PLAN).to_json())
    assert learn_config(settings).activity is None
    settings.write_plan_path.unlink()
    with pytest.raises(SettingsError, match=r"stream\.json is missing: run `backdrop features`"):
        learn_config(settings)


def test_a_learner_on_flink_gets_the_job_servers_folder(tmp_path: Path) -> None:
    settings = compiled(tmp_path, learn={"runner": "flink"})
    with pytest.raises(SetupError, match=r"is not at .*tools/flink: run `make setup-flink`"):
        learn_config(settings)
    (tmp_path / "tools/flink").mkdir(parents=True)
    config = learn_config(settings)
    assert (config.runner, config.runner_path) == ("flink", str(tmp_path / "tools/flink"))


def test_a_learner_without_archive_writes_to_no_object_store(tmp_path: Path, program: Callable[..., Path]) -> None:
    program("tools/prism")
    assert learn_config(compiled(tmp_path, learn={"archive": False})).archive_uri == ""


def test_server_and_learner_agree_on_what_counts(tmp_path: Path, program: Callable[..., Path]) -> None:
    program("tools/prism")
    settings = compiled(tmp_path, lineage=LINEAGE, partitions=2)
    server, learner = server_config(settings), learn_config(settings)
    for name in ("window_ms", "attribution_ms", "grace_ms"):
        assert getattr(server, name) == getattr(learner.settings, name)
    assert (server.partitions, server.redis_url) == (learner.partitions, learner.redis_url)


def test_a_learner_without_compiled_features_is_told_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"context\.json is missing: run `backdrop features`"):
        learn_config(settings_of(tmp_path))


def test_a_damaged_schema_is_refused(tmp_path: Path) -> None:
    settings = compiled(tmp_path)
    settings.schema_path.write_bytes(SCHEMA.to_json().replace(SCHEMA.hash.encode(), b"0" * 16))
    with pytest.raises(InvalidInputError, match="compile it again"):
        read_schema(settings)


def test_prism_is_the_one_named_then_set_ups_then_the_one_on_path(
    tmp_path: Path, program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = program("bin/prism")
    assert find_prism(tmp_path / "tools") == str(on_path)
    of_setup = program("tools/prism")
    assert find_prism(tmp_path / "tools") == str(of_setup)
    named = program("elsewhere/my-prism")
    monkeypatch.setenv("BACKDROP_PRISM", str(named))
    assert find_prism(tmp_path / "tools") == str(named)


def test_what_cannot_be_run_is_passed_over(tmp_path: Path, program: Callable[..., Path]) -> None:
    program("tools/prism", mode=0o644)
    on_path = program("bin/prism")
    assert find_prism(tmp_path / "tools") == str(on_path)
    (tmp_path / "others/prism").mkdir(parents=True)
    assert find_prism(tmp_path / "others") == str(on_path)


def test_a_link_to_prism_is_followed(tmp_path: Path, program: Callable[..., Path]) -> None:
    real = program("opt/beam/prism")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/prism").symlink_to(real)
    assert find_prism(tmp_path / "tools") == str(real)


def test_no_prism_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"is not at .*tools/prism: run `make setup`, or set BACKDROP_PRISM"):
        find_prism(tmp_path / "tools")


def test_a_wrongly_named_prism_is_refused_though_there_is_another(
    tmp_path: Path, program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("tools/prism")
    monkeypatch.setenv("BACKDROP_PRISM", "/nowhere/prism")
    with pytest.raises(SetupError, match="BACKDROP_PRISM names '/nowhere/prism'"):
        find_prism(tmp_path / "tools")


def test_the_generation_job_gets_what_is_set(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        redis_url="redis://127.0.0.1:7000/3",
        weights=tmp_path / "weights",
        generate={
            "catalogue": "shop/products.parquet",
            "prompts": "shop/prompts.yaml",
            "placements": "shop/placements.yaml",
            "backend": "diffusers",
            "model_folder": "models/sd",
            "workers": 5,
        },
        serve={"media_url": "https://cdn.example"},
    )
    config = generate_config(settings, limit=7, only=("lamps",), dry_run=True)
    assert (config.catalogue, config.prompts, config.placements) == (
        "shop/products.parquet",
        "shop/prompts.yaml",
        "shop/placements.yaml",
    )
    assert (config.objects_uri, config.media_base_url) == (str(tmp_path / "objects"), "https://cdn.example")
    assert (config.redis_url, config.weights) == ("redis://127.0.0.1:7000/3", str(tmp_path / "weights/u2netp.onnx"))
    assert (config.backend, dict(config.backend_options), config.workers) == ("diffusers", {"model": "models/sd"}, 5)
    assert (config.limit, config.only, config.dry_run) == (7, ("lamps",), True)


def test_the_generation_job_finds_its_runner(tmp_path: Path, program: Callable[[str], Path]) -> None:
    prism = program("tools/prism")
    section = {"runner": "prism", "backend_options": {"device": "cuda"}, "min_ram": "16GB", "wave_chunks": 3}
    config = generate_config(settings_of(tmp_path, generate=section), limit=0, only=(), dry_run=False)
    assert (config.runner, config.runner_path) == ("prism", str(prism.resolve()))
    assert (dict(config.backend_options), config.min_ram, config.wave) == ({"device": "cuda"}, "16GB", 3)
    # Beam's own flags need no runner of this machine.
    elsewhere = {"runner": "flink", "runner_options": ["--runner=DataflowRunner"]}
    config = generate_config(settings_of(tmp_path, generate=elsewhere), limit=0, only=(), dry_run=False)
    assert (config.runner_path, config.runner_options) == ("", ("--runner=DataflowRunner",))


def test_by_default_the_demos_catalogue_is_painted_by_the_procedural_backend(tmp_path: Path) -> None:
    config = generate_config(settings_of(tmp_path), limit=0, only=(), dry_run=False)
    assert (config.backend, dict(config.backend_options)) == ("procedural", {})
    assert all(Path(path).is_file() for path in (config.catalogue, config.prompts, config.placements))


def test_another_segmenter_brings_its_own_weights(tmp_path: Path) -> None:
    named = generate_config(
        settings_of(tmp_path, weights=tmp_path / "weights", generate={"segmenter": "isnet-general-use"}),
        limit=0, only=(), dry_run=True,
    )  # fmt: skip
    assert named.weights == str(tmp_path / "weights/isnet-general-use.onnx")
    assert named.segmenter_model.recipe == "isnet-general-use@fc16ebd8b0c1"
    own = {"segmenter_weights": tmp_path / "own.onnx", "segmenter_checksum": "md5:" + "0" * 32}
    given = generate_config(settings_of(tmp_path, generate=own), limit=0, only=(), dry_run=True)
    assert given.weights == str(tmp_path / "own.onnx")
    assert given.segmenter_model.recipe == "u2netp@000000000000"
    other = settings_of(tmp_path, generate={"segmenter": "bria-rmbg"})
    with pytest.raises(InvalidInputError, match="non-commercial"):
        _ = generate_config(other, limit=0, only=(), dry_run=True).segmenter_model
