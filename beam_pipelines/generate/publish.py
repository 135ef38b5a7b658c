"""The creative index, product by product: what serving may show, brought in line with what exists."""

from collections.abc import Sequence

import apache_beam as beam

from beam_pipelines.generate.elements import Done, Shown
from beam_pipelines.generate.manifest import ManifestRow
from beam_pipelines.generate.settings import Inputs, StageSettings
from beam_pipelines.generate.tally import count, timed
from contracts import CreativeRef
from stores import CreativeIndex, ObjectStore, PolicyStore, connect

_AT_ONCE = 64

Slots = dict[tuple[str, str], dict[str, CreativeRef]]


class Publish(beam.DoFn):
    """Products (``Done``, bytes) whose rows are written -> the creative index. Writes the same however often."""

    def __init__(self, settings: StageSettings) -> None:
        """Keep the settings; Redis is connected in ``setup``."""
        self._settings = settings

    def setup(self) -> None:
        """Connect, once a worker."""
        self._objects = self._settings.objects()
        self._client = connect(self._settings.redis_url)
        self._index = CreativeIndex(self._client)

    def start_bundle(self) -> None:
        """Begin with no product."""
        self._waiting: list[Done] = []

    def process(self, element: bytes) -> None:
        """Take one product; several are published in one go."""
        self._waiting.append(Done.from_bytes(element))
        if len(self._waiting) >= _AT_ONCE:
            self._publish()

    def finish_bundle(self) -> None:
        """Publish what is left."""
        self._publish()

    def teardown(self) -> None:
        """Let go of Redis."""
        self._client.close()

    def _publish(self) -> None:
        slots = references(self._waiting, self._objects)
        with timed("publish"):
            if self._settings.whole:
                self._index.replace_all(slots)
            else:
                # A run that leaves prompts out must not take their pictures away.
                self._index.publish_all(slots)
        count("published", sum(map(len, slots.values())))
        self._waiting = []


def references(products: Sequence[Done], objects: ObjectStore) -> Slots:
    """(item, placement) -> arm -> reference, of every picture that exists and passed the gate."""
    found: Slots = {}
    for done in products:
        passed: list[Shown | ManifestRow] = [*done.shown, *(row for row in done.rows if not row.flagged)]
        for each in passed:
            ref = CreativeRef(each.creative_id, objects.url(each.path), each.width, each.height)
            found.setdefault((done.item_id, each.placement), {})[each.arm] = ref
    return found


def register_arms(policies: PolicyStore, inputs: Inputs, categories: Sequence[str]) -> None:
    """Make the arms of categories known with the tags of their prompts; who rests goes on resting."""
    for category in categories:
        policies.register_arms(category, {prompt.arm: dict(prompt.tags) for prompt in inputs.prompts(category)})
