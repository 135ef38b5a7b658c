"""A runner for tests: the learner's real graph and DoFns, step by step, in an order that the test chooses.

It keeps to Beam's model and uses all the freedom that it leaves: any bundle may hold any of the elements that wait,
in any order, be tried again with its state rolled back, and go to another copy of its DoFn. Timers fire once the
stage's watermark, held by what waits there and above, has reached them; those that are set hold the stages below.
"""

import inspect
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import Any

import apache_beam as beam
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from apache_beam.transforms.userstate import BagStateSpec, get_dofn_specs
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from beam_pipelines.learn import LearnConfig
from beam_pipelines.learn.job import LearnFromFrames
from beam_pipelines.learn.positions import Start
from beam_pipelines.learn.source import PartitionReader
from contracts import EventLog
from stores.dataset import Dataset

# Two copies of each DoFn: what one keeps in memory, the other must not need.
_COPIES = 2

SOURCE = -1

_LABEL = "Learn"

Element = tuple[Timestamp, Any]


class Cells(dict[str, list[bytes]]):
    """The state of one key: encoded values by cell."""


class Cell:
    """A state cell as a DoFn sees it."""

    def __init__(self, spec: Any, cells: Cells) -> None:
        self._coder = spec.coder
        self._is_bag = isinstance(spec, BagStateSpec)
        self._name = spec.name
        self._cells = cells

    def read(self) -> Any:
        values = [self._coder.decode(data) for data in self._cells.get(self._name, [])]
        return values if self._is_bag else (values or [None])[0]

    def add(self, value: Any) -> None:
        self._cells.setdefault(self._name, []).append(self._coder.encode(value))

    def write(self, value: Any) -> None:
        self._cells[self._name] = [self._coder.encode(value)]

    def clear(self) -> None:
        self._cells.pop(self._name, None)


class Timers(dict[tuple[str, str], Timestamp]):
    """The timers of one key: when each (family, tag) fires."""


class Timer:
    """A timer as a DoFn sees it."""

    def __init__(self, family: str, timers: Timers) -> None:
        self._family = family
        self._timers = timers

    def set(self, at: Timestamp, dynamic_timer_tag: str = "") -> None:
        self._timers[self._family, dynamic_timer_tag] = at

    def clear(self, dynamic_timer_tag: str = "") -> None:
        self._timers.pop((self._family, dynamic_timer_tag), None)


class Stage:
    """One ParDo: elements that wait, state and timers by key."""

    def __init__(self, dofn: beam.DoFn, rng: random.Random) -> None:
        self._rng = rng
        self._pickled = pickler.dumps(dofn)
        states, timers = get_dofn_specs(dofn)
        self._keyed = bool(states or timers)
        self._callbacks = {spec.name: spec._attached_callback.__name__ for spec in timers if spec._attached_callback}
        self.copies = [self._copy() for _ in range(_COPIES)]
        self.above: list[Callable[[], Timestamp]] = []
        self.below: list[Stage] = []
        self.waiting: list[Element] = []
        self.cells: dict[Any, Cells] = defaultdict(Cells)
        self.timers: dict[Any, Timers] = defaultdict(Timers)

    def watermark(self) -> Timestamp:
        """What the stage's timers go by."""
        return min([mark() for mark in self.above] + [at for at, _ in self.waiting])

    def output_watermark(self) -> Timestamp:
        """What the stages below may believe."""
        return min([self.watermark()] + [at for timers in self.timers.values() for at in timers.values()])

    def due(self) -> list[tuple[Timestamp, Any, str, str]]:
        """Timers that may fire, in order of time."""
        watermark = self.watermark()
        return sorted(
            (
                (at, key, family, tag)
                for key, timers in self.timers.items()
                for (family, tag), at in timers.items()
                if at <= watermark
            ),
            key=lambda timer: timer[0],
        )

    def held(self) -> tuple[int, int, int]:
        """Bytes in state cells, timers set, elements waiting."""
        values = [values for cells in self.cells.values() for values in cells.values()]
        timers = sum(len(timers) for timers in self.timers.values())
        return sum(len(data) for found in values for data in found), timers, len(self.waiting)

    def run_bundle(self, *, fails: bool) -> None:
        """Process some of what waits and fire timers that are due; with ``fails``, as if it never was."""
        rng = self._rng
        due = self.due()
        kept = (list(self.waiting), deepcopy(self.cells), deepcopy(self.timers))
        if self._keyed:
            # Between a reader and the first stage with keys runners fuse stages, so that order is kept.
            rng.shuffle(self.waiting)
        size = rng.randint(0 if due else 1, len(self.waiting)) if self.waiting else 0
        bundle, self.waiting = self.waiting[:size], self.waiting[size:]
        place = rng.randrange(_COPIES)
        dofn = self.copies[place]
        emitted: list[Element] = []
        dofn.start_bundle()
        for at, element in bundle:
            key = element[0] if self._keyed else None
            emitted += self._called(dofn.process, key, at, element)
        for at, key, family, tag in due[: rng.randint(0 if bundle else 1, len(due))] if due else []:
            if self.timers[key].get((family, tag)) == at:
                del self.timers[key][family, tag]
                emitted += self._called(getattr(dofn, self._callbacks[family]), key, at)
        dofn.finish_bundle()
        if fails:
            self.waiting, self.cells, self.timers = kept
            dofn.teardown()
            self.copies[place] = self._copy()
            return
        self.cells = defaultdict(Cells, {key: cells for key, cells in self.cells.items() if cells})
        self.timers = defaultdict(Timers, {key: timers for key, timers in self.timers.items() if timers})
        for stage in self.below:
            stage.waiting += emitted

    def close(self) -> None:
        """End all copies."""
        for dofn in self.copies:
            dofn.teardown()

    def _copy(self) -> Any:
        loads: Callable[[bytes], Any] = pickler.loads
        dofn = loads(self._pickled)
        dofn.setup()
        return dofn

    def _called(self, method: Callable[..., Any], key: Any, at: Timestamp, *element: Any) -> Iterator[Element]:
        given: dict[str, Any] = {}
        for name, parameter in inspect.signature(method).parameters.items():
            wanted = parameter.default
            if isinstance(wanted, type(beam.DoFn.TimestampParam)) and wanted == beam.DoFn.TimestampParam:
                given[name] = at
            elif isinstance(wanted, type(beam.DoFn.KeyParam)) and wanted == beam.DoFn.KeyParam:
                given[name] = key
            elif isinstance(wanted, beam.DoFn.StateParam):
                given[name] = Cell(wanted.state_spec, self.cells[key])
            elif isinstance(wanted, beam.DoFn.TimerParam):
                given[name] = Timer(wanted.timer_spec.name, self.timers[key])
        for result in method(*element, **given) or ():
            if isinstance(result, TimestampedValue):
                yield result.timestamp, result.value
            else:
                yield at, result


@lru_cache(maxsize=32)
def plan_of(config: LearnConfig, dataset: Dataset) -> tuple[tuple[beam.DoFn, tuple[int, ...]], ...]:
    """The learner's ParDos, each with the numbers of those that feed it; SOURCE is the log."""
    create: Any = beam.Create
    pipeline = beam.Pipeline(options=PipelineOptions([]))
    _ = pipeline | create([b""]) | _LABEL >> LearnFromFrames(config, dataset)
    graph = _Graph()
    pipeline.visit(graph)
    numbers = {output: number for number, output in enumerate(graph.dofns)}

    def feeding(output: Any) -> Iterator[int]:
        for source in graph.sources[output]:
            if source in numbers or source not in graph.sources:
                yield numbers.get(source, SOURCE)
            else:
                yield from feeding(source)

    return tuple((dofn, tuple(feeding(output))) for output, dofn in graph.dofns.items())


class _Graph(PipelineVisitor):
    """The learner's ParDos by what they make, and what each collection is made of."""

    def __init__(self) -> None:
        self.dofns: dict[Any, beam.DoFn] = {}
        self.sources: dict[Any, list[Any]] = {}

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        if not transform_node.full_label.startswith(f"{_LABEL}/"):
            return
        output = transform_node.outputs[None]
        self.sources[output] = list(transform_node.inputs)
        if isinstance(transform_node.transform, beam.ParDo):
            self.dofns[output] = transform_node.transform.fn


class Stream:
    """A learner: readers of the log, and the stages below them."""

    def __init__(
        self,
        config: LearnConfig,
        dataset: Dataset,
        log: EventLog,
        start: Start,
        rng: random.Random,
        *,
        fail_share: float,
    ) -> None:
        self._rng = rng
        self._fail_share = fail_share
        self._readers = [
            PartitionReader(log, partition, after, rng.randint(1, 4)) for partition, after in enumerate(start.reading)
        ]
        # The graph is the same for any number of partitions.
        plan = plan_of(replace(config, partitions=1), dataset)
        self.stages = [Stage(dofn, rng) for dofn, _ in plan]
        self._roots: list[Stage] = []
        for stage, (_, feeding) in zip(self.stages, plan, strict=True):
            for number in feeding:
                if number == SOURCE:
                    stage.above.append(self._source_watermark)
                    self._roots.append(stage)
                else:
                    stage.above.append(self.stages[number].output_watermark)
                    self.stages[number].below.append(stage)

    def step(self) -> None:
        """Read a frame, or run a bundle, whichever comes."""
        busy = [stage for stage in self.stages if stage.waiting or stage.due()]
        choice = self._rng.randrange(len(busy) + len(self._readers))
        if choice < len(busy):
            busy[choice].run_bundle(fails=self._rng.random() < self._fail_share)
        else:
            self._read(self._readers[choice - len(busy)])

    def settle(self) -> None:
        """Go on until nothing is left to read or to do."""
        while any([self._read(reader) for reader in self._readers]):
            pass
        while busy := [stage for stage in self.stages if stage.waiting or stage.due()]:
            self._rng.choice(busy).run_bundle(fails=self._rng.random() < self._fail_share)

    def held(self) -> tuple[int, int, int]:
        """Bytes in state cells, timers set, elements waiting, all stages together."""
        size, timers, waiting = zip(*(stage.held() for stage in self.stages), strict=True)
        return sum(size), sum(timers), sum(waiting)

    def close(self) -> None:
        """End: all state is lost."""
        for stage in self.stages:
            stage.close()

    def _read(self, reader: PartitionReader) -> bool:
        found = reader.advance()
        if found:
            for stage in self._roots:
                stage.waiting.append((reader.get_current_timestamp(), reader.get_current()))
        return found

    def _source_watermark(self) -> Timestamp:
        return min(reader.get_watermark() for reader in self._readers)
