"""Contract rows A10 to A13: the training dataset that grows by weeks, under memloop's names."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from memloop_assets.datasets.snapshot import build_snapshot, read_window
from memloop_assets.datasets.supervised import build_sft_examples
from memloop_assets.datasets.tables import DATASET_SNAPSHOT, SFT_EXAMPLES, TEACHING_TABLES
from memloop_assets.store import Provenance, Publication, Store
from memloop_assets.weeks import IsoWeek
from memloop_tests.datasets.graded import grades, trajectories, trajectory

W11, W12 = IsoWeek(2026, 11), IsoWeek(2026, 12)


class Dataset:
    """The supervised examples of a data home, appended to week by week."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def append(self, week: IsoWeek, *names: str) -> Publication:
        """Publish a week that holds these trajectories, and the snapshot as of it."""
        given = trajectories(*(trajectory(name, week=str(week)) for name in names))
        rows, _counts = build_sft_examples(given, grades(**dict.fromkeys(names, "HIGH")), frozenset())
        for contract in TEACHING_TABLES:
            self.store.publish(contract, week, contract.table([]), Provenance())
        published = self.store.publish(SFT_EXAMPLES, week, rows, Provenance())
        examples, inputs, _missing = read_window(self.store, [*self.store.weeks(SFT_EXAMPLES.name)])
        snapshot, _counts = build_snapshot(week, examples, frozenset())
        self.store.publish(DATASET_SNAPSHOT, week, snapshot, Provenance(inputs))
        return published

    def rows(self) -> list[dict[str, object]]:
        weeks = self.store.weeks(SFT_EXAMPLES.name)
        return [row for week in weeks for row in self.store.read(SFT_EXAMPLES.name, week).to_pylist()]

    def snapshot(self, week: IsoWeek) -> pa.Table:
        return self.store.read(DATASET_SNAPSHOT.name, week)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(tmp_path)


def test_a10_a_dataset_counts_nothing_before_its_first_week_and_then_what_each_week_adds(dataset: Dataset) -> None:
    assert dataset.rows() == []
    assert dataset.append(W11, "a", "b").row_count == 2
    assert dataset.append(W12, "c").row_count == 1
    assert len(dataset.rows()) == dataset.snapshot(W12).num_rows == 3


def test_a10_a_record_holds_its_messages_its_week_and_its_quality(dataset: Dataset) -> None:
    dataset.append(W12, "a")
    (record,) = dataset.rows()
    assert [message["role"] for message in json.loads(str(record["messages_json"]))][-1] == "assistant"
    assert (record["week"], record["quality_tier"], record["quality_score"]) == ("2026-W12", "HIGH", 5.0)


def test_a11_the_same_trajectory_in_the_same_week_again_adds_nothing(dataset: Dataset) -> None:
    first = dataset.append(W12, "a")
    again = dataset.append(W12, "a", "a")
    assert again.generation == first.generation
    assert len(dataset.rows()) == dataset.snapshot(W12).num_rows == 1


def test_a12_the_same_trajectory_in_two_weeks_is_two_records_and_one_example_of_the_snapshot(dataset: Dataset) -> None:
    dataset.append(W11, "a")
    dataset.append(W12, "a")
    assert [record["week"] for record in dataset.rows()] == ["2026-W11", "2026-W12"]
    assert len({record["example_id"] for record in dataset.rows()}) == 1
    assert dataset.snapshot(W12)["example_week"].to_pylist() == ["2026-W11"]


def test_a13_the_index_knows_the_weeks_and_how_many_examples_there_are(dataset: Dataset) -> None:
    dataset.append(W11, "a")
    dataset.append(W12, "b", "c")
    assert "2026-W12" in [str(week) for week in dataset.store.weeks(SFT_EXAMPLES.name)]
    manifest = dataset.store.manifest(DATASET_SNAPSHOT.name, W12)
    assert manifest["row_count"] == dataset.snapshot(W12).num_rows == 3
    assert f"{SFT_EXAMPLES.name} 2026-W11" in manifest["inputs"]
