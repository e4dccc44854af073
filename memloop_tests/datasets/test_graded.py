"""A week's trajectories and grades, pinned while another run publishes."""

from pathlib import Path

import pytest

from memloop_assets.datasets.graded import GradedWeek
from memloop_assets.datasets.preferences import read_trials
from memloop_assets.errors import WriterConflict
from memloop_assets.store import Provenance
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_tests.scenario import FIRST, finished_home


def test_a_pinned_week_reads_on_as_it_was_and_one_whose_grades_are_of_other_trajectories_is_refused(
    tmp_path: Path,
) -> None:
    store = finished_home(tmp_path / "home").store
    pinned = GradedWeek.pin(store, FIRST)
    rows, grades = pinned.trajectories(), pinned.quality()
    store.publish(TRAJECTORIES, FIRST, rows.slice(0, 10), Provenance())  # rows taken out: every other keeps its grade
    assert GradedWeek.pin(store, FIRST).trajectories().num_rows == 10
    late = store.read("trajectories", FIRST.shift(1)).slice(0, 1).to_pylist()[0] | {"week": str(FIRST)}
    store.publish(TRAJECTORIES, FIRST, TRAJECTORIES.table([*rows.to_pylist(), late]), Provenance())  # not graded yet
    assert pinned.trajectories() == rows
    assert pinned.quality() == grades
    with pytest.raises(WriterConflict, match="it grades other trajectories than those that stand now"):
        GradedWeek.pin(store, FIRST)
    with pytest.raises(WriterConflict):
        read_trials(store, [FIRST], frozenset())
