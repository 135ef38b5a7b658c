import json
from dataclasses import replace
from pathlib import Path

import pytest

from beam_pipelines.generate import GenerateConfig, GenerateReport, PlanCounts
from beam_pipelines.generate.manifest import ManifestRow, path_of
from beam_pipelines.generate.photos import PhotoSource
from beam_pipelines.generate.plan import Plan, Task, make_plan
from contracts import InvalidInputError
from generation import Creative, PhotoFetcher, ProceduralBackend, Verdict
from tests.beam_pipelines.generate.shop import PROMPTS, open_shop, row

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
    report = GenerateReport(1, 2, 3, 4, 5, 6, {"bad_image": 1}, plan(config).counts)
    assert report.counts == PlanCounts(
        3, 16, 10, 0, 8 * (120 * 120 + 240 * 80), {"square": 8, "banner": 8}, {"seating": 12, "garden": 4}
    )
    assert GenerateReport.from_json(report.to_json()) == report


def test_numbers_that_cannot_work_are_refused(config: GenerateConfig) -> None:
    changes: tuple[dict[str, int], ...] = ({"workers": 0}, {"attempts": 0}, {"limit": -1}, {"rows_per_part": 0})
    for change in changes:
        with pytest.raises(InvalidInputError, match="must be at least"):
            GenerateConfig.from_json(json.dumps({**json.loads(config.to_json()), **change}))
