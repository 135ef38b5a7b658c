"""What can be said of the Dataflow image and its settings where neither can be run."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.sdk_container_builder import SDK_CONTAINER_ENTRYPOINT
from packaging.requirements import Requirement

from backdrop.settings import load_settings
from backdrop.wiring import generate_config

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "generate"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
LINES = [
    line.split() for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")
]


def lines(instruction: str) -> list[list[str]]:
    return [words[1:] for words in LINES if words[0] == instruction]


def locked() -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "locks" / "test.txt").read_text(), re.MULTILINE))


def test_the_base_image_is_of_the_locked_beam_and_of_this_python() -> None:
    assert lines("FROM") == [[f"apache/beam_python3.11_sdk:{version('apache-beam')}"]]
    assert locked()["apache-beam"] == version("apache-beam")
    assert 'python_requires=">=3.11,<3.12"' in (ROOT / "setup.py").read_text()


def test_the_entry_point_stays_beams() -> None:
    assert not lines("ENTRYPOINT")
    assert not lines("CMD")
    assert SDK_CONTAINER_ENTRYPOINT in DOCKERFILE


def test_the_lock_holds_what_diffusers_and_gcp_need() -> None:
    needed = [
        Requirement(each)
        for each in re.findall(
            r'"((?:apache-beam|google-cloud-storage|accelerate|diffusers|torch'
            r'|transformers|pillow|rembg|scipy|urllib3)[\[<>=~][^"]*)"',
            (ROOT / "setup.py").read_text(),
        )
    ]
    assert len({each.name for each in needed}) == 10
    pins = locked()
    assert all(each.specifier.contains(pins[each.name]) for each in needed)


def test_what_is_copied_exists_and_is_let_through() -> None:
    here = [words[:-1] for words in lines("COPY") if not words[0].startswith("--from=")]
    assert here == [["locks/test.txt"], ["."]]
    allowed = [line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"]
    assert not [name for name in allowed if not (ROOT / name).exists()]
    setup = (ROOT / "setup.py").read_text()
    packages = re.findall(r'^    "(\w+)",$', setup.partition("PACKAGES = (")[2].partition(")")[0], re.MULTILINE)
    assert {*packages, "locks", "LICENSE", "setup.py", "pyproject.toml"} == set(allowed)
    named = {words[0] for words in lines("COPY") if words[0].startswith("--from=")}
    assert named == {"--from=weights", "--from=model"}
    assert all(f"--build-context {each.removeprefix('--from=')}=" in DOCKERFILE for each in named)


def test_nothing_is_downloaded_but_locked_packages() -> None:
    assert not lines("ADD")
    run = "\n".join(" ".join(words) for words in lines("RUN"))
    assert not re.search(r"curl|wget|https?:|apt-get|huggingface|snapshot_download", run)
    assert "--require-hashes" in run
    environment = {word for words in lines("ENV") for word in words}
    assert {"HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1"} <= environment


def test_the_settings_fit_the_image_and_beam_knows_every_flag(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BACKDROP_CONFIG", str(FOLDER / "dataflow.toml"))
    config = generate_config(load_settings(), limit=0, only=(), dry_run=False)
    copied = [words[-1] for words in lines("COPY")]
    assert config.weights in copied
    assert config.backend_options["model"] in copied
    assert config.batch % int(config.backend_options["batch"]) == 0
    make: Any = PipelineOptions
    options = make(list(config.runner_options)).get_all_options()
    assert "Discarding" not in caplog.text
    given = {flag.removeprefix("--").partition("=")[0] for flag in config.runner_options}
    assert given <= options.keys()
    assert options["temp_location"].startswith("gs://")
    assert options["dataflow_service_options"] == ["worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"]
    # The check can fail: a flag that Beam does not know is not among its options.
    assert "no_such_flag" not in make(["--no_such_flag=1"]).get_all_options()
