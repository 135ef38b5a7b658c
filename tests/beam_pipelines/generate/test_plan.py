import json
from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.generate import GenerateConfig, GenerateReport
from beam_pipelines.generate.manifest import ManifestRow, path_of
from beam_pipelines.generate.photos import PhotoSource
from beam_pipelines.generate.plan import Plan, Task, make_plan
from contracts import InvalidInputError, Prompt
from generation import Creative, PhotoFetcher, ProceduralBackend, PromptError, Verdict
from tests.beam_pipelines.generate.shop import PROMPTS, open_shop, row, write_catalogue

ROWS = [
    row("stool"),
    row("chair"),
    row("pot", "garden"),
    row("broken", price=float("nan")),
    row("x", image_uri="missing.png"),
]

FILES = PhotoSource(None, PhotoFetcher())


def plan(config: GenerateConfig, made: Plan | None = None, keep: int | None = None) -> Plan:
    """A plan after the first ``keep`` pictures of ``made`` were made."""
    done = [] if made is None else list(made.wanted)[:keep]
    manifest = {spec.creative_id: ManifestRow.of(Creative(spec, b"x", Verdict((), {}), 0)) for spec in done}
    return make_plan(config, ProceduralBackend(), FILES, manifest, [path_of(spec) for spec in done])


@pytest.fixture
def config(tmp_path: Path) -> GenerateConfig:
    return open_shop(tmp_path, ROWS)


def test_everything_is_planned_once(config: GenerateConfig) -> None:
    first = plan(config)
    assert [task.item_id for task in first.tasks] == ["stool", "chair", "pot"]
    assert first.planned == len(first.wanted) == 2 * (3 + 3 + 2)
    assert {(d.item_id, d.reason) for d in first.dead} == {("broken", "bad_price"), ("x", "no_image")}
    assert plan(config, first).planned == 0
    assert plan(config, first).skipped == first.planned


def test_what_is_missing_is_planned(config: GenerateConfig) -> None:
    first = plan(config)
    rest = plan(config, first, keep=5)
    assert rest.skipped == 5
    assert {s for task in rest.tasks for s in task.specs} == set(first.wanted[5:])


def test_a_row_without_its_picture_is_made_again(config: GenerateConfig) -> None:
    first = plan(config)
    manifest = {s.creative_id: ManifestRow.of(Creative(s, b"x", Verdict((), {}), 0)) for s in first.wanted}
    assert make_plan(config, ProceduralBackend(), FILES, manifest, []).planned == first.planned


def test_changing_one_prompt_plans_only_that_prompt(config: GenerateConfig) -> None:
    first = plan(config)
    Path(config.prompts).write_text(PROMPTS.replace("on slate", "on dark slate"))
    again = plan(config, first)
    assert {spec.arm for task in again.tasks for spec in task.specs} == {"slate"}
    assert again.planned == 4


def test_a_prompt_that_a_product_cannot_have_is_a_dead_letter_and_the_others_go_on(tmp_path: Path) -> None:
    rows = [row("stool", color="red"), row("chair", color="blue"), row("bench", color=None)]
    config = open_shop(tmp_path, rows)
    Path(config.prompts).write_text(PROMPTS.replace("text: on slate", "text: 'on {colour} slate'"))
    first = plan(config)
    assert [(dead.item_id, dead.reason) for dead in first.dead] == [("bench", "prompt_attribute")]
    texts = {(spec.item_id, spec.text) for spec in first.wanted if spec.arm == "slate"}
    assert texts == {("stool", "on red slate"), ("chair", "on blue slate")}
    assert {spec.arm for spec in first.wanted if spec.item_id == "bench"} == {"original", "oak"}
    write_catalogue(tmp_path, [{**rows[0], "color": "green"}, *rows[1:]])
    again = plan(config, first)
    assert {(spec.item_id, spec.text) for task in again.tasks for spec in task.specs} == {("stool", "on green slate")}


def test_a_prompt_that_the_backend_would_cut_stops_the_run(config: GenerateConfig) -> None:
    class Terse(ProceduralBackend):
        def check(self, prompt: Prompt) -> None:
            if "slate" in prompt.text:
                message = f"{prompt.arm} has 9 tokens, at most 8"
                raise PromptError(message, "prompt_too_long")

    with pytest.raises(InvalidInputError, match="slate has 9 tokens"):
        make_plan(config, Terse(), FILES, {}, [])


def test_only_and_limit(config: GenerateConfig) -> None:
    assert {t.item_id for t in plan(replace(config, only=("garden",))).tasks} == {"pot"}
    assert {t.item_id for t in plan(replace(config, only=("chair", "pot"))).tasks} == {"chair", "pot"}
    by_arm = plan(replace(config, only=("oak", "stool")))
    assert {(s.item_id, s.arm) for s in by_arm.wanted} == {("stool", "original"), ("stool", "oak")}
    assert [t.item_id for t in plan(replace(config, limit=2)).tasks] == ["stool", "chair"]
    with pytest.raises(InvalidInputError, match="boat"):
        plan(replace(config, only=("boat",)))


def test_tasks_and_messages_pass_as_json(config: GenerateConfig) -> None:
    for task in plan(config).tasks:
        again = Task.from_bytes(task.to_bytes())
        assert again == task
        assert [s.creative_id for s in again.specs] == [s.creative_id for s in task.specs]
    odd = replace(config, only=("a",), backend_options={"model": "x"}, runner_options=("--runner=PrismRunner",))
    assert GenerateConfig.from_json(odd.to_json()) == odd
    report = GenerateReport(1, 2, 3, 4, 5, 6, {"bad_image": 1})
    assert GenerateReport.from_json(report.to_json()) == report


def test_numbers_that_cannot_work_are_refused(config: GenerateConfig) -> None:
    changes: tuple[dict[str, int], ...] = ({"workers": 0}, {"attempts": 0}, {"limit": -1}, {"rows_per_part": 0})
    for change in changes:
        with pytest.raises(InvalidInputError, match="must be at least"):
            GenerateConfig.from_json(json.dumps({**json.loads(config.to_json()), **change}))
