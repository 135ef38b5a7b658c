"""Which dataset a learner writes to: Redis may be started with an older one, or be emptied while it runs."""

from dataclasses import dataclass
from typing import Self

from contracts import LineageError


@dataclass(frozen=True, slots=True)
class Dataset:
    """A lineage's record as one learner knows it: Redis' run id, and the log time (µs) at which the record was begun.

    Another Redis process may hold an older dataset; a record with a later epoch was begun after the earlier one was
    lost (``FLUSHALL`` keeps the run id).
    """

    run_id: str
    epoch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``<run id>@<epoch>``."""
        run_id, _, epoch = text.partition("@")
        return cls(run_id, int(epoch))

    def __str__(self) -> str:
        """Write ``<run id>@<epoch>``."""
        return f"{self.run_id}@{self.epoch}"

    def require_same(self, other: "Dataset | None") -> None:
        """Check that a dataset found is this one; None: the lineage has no record.

        Raises:
            LineageError: saying in what they differ.
        """
        if other is None:
            found = "its record is gone"
        elif other.run_id != self.run_id:
            found = f"Redis runs as {other.run_id}, it was {self.run_id}"
        elif other.epoch != self.epoch:
            found = f"its record was begun anew at {other.epoch}, it was of {self.epoch}"
        else:
            return
        message = (
            f"the lineage is not what it was when this learner started ({found}): Redis was emptied, or may hold an "
            "older dataset, so start again from what is stored"
        )
        raise LineageError(message)
