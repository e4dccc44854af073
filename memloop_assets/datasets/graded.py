"""A week's trajectories with their grades, pinned: whatever another run publishes meanwhile, every reading is of the same two tables.

Knows which generations belong together; what is made of the rows is the business of the tables of examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from memloop_assets.errors import WriterConflict
from memloop_assets.store import Store
from memloop_assets.weeks import IsoWeek

_ID = ["trajectory_id"]


@dataclass(frozen=True)
class GradedWeek:
    """The generations of ``trajectories`` and ``trajectory_quality`` of one week that were current when it was pinned."""

    store: Store
    week: IsoWeek
    inputs: Mapping[str, str]

    @classmethod
    def pin(cls, store: Store, week: IsoWeek) -> "GradedWeek":
        """Pin a week; raises WriterConflict where the grades are of other trajectories than those that stand, and as ``read`` does."""
        trajectories, quality = f"trajectories {week}", f"trajectory_quality {week}"
        inputs = {**store.input_of("trajectories", week), **store.input_of("trajectory_quality", week)}
        pinned = cls(store, week, inputs)
        graded = store.manifest("trajectory_quality", week, inputs[quality])["inputs"]
        if graded.get(trajectories) != inputs[trajectories] and pinned._has_ungraded():
            raise WriterConflict(
                quality,
                "it grades other trajectories than those that stand now",
                "wait for the run that builds this week, or materialise trajectory_quality, then run again",
            )
        return pinned

    def trajectories(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the week's trajectories; raises as ``Store.read`` does."""
        return self._read("trajectories", columns)

    def quality(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the grades of these trajectories; raises as ``Store.read`` does."""
        return self._read("trajectory_quality", columns)

    def _has_ungraded(self) -> bool:
        """Tell whether a trajectory has no grade; where rows were only taken out since, none has lost its own."""
        told, graded = (rows["trajectory_id"].to_pylist() for rows in (self.trajectories(_ID), self.quality(_ID)))
        return not set(told) <= set(graded)

    def _read(self, name: str, columns: Sequence[str] | None) -> pa.Table:
        return self.store.read(name, self.week, columns, self.inputs[f"{name} {self.week}"])
