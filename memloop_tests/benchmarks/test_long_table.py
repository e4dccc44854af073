"""The import of a long table: what is merged, what is unknown, and what is refused with its rows and the fix."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from memloop_assets.benchmarks.long_table import import_long_table
from memloop_assets.benchmarks.suite import ArmOutcome
from memloop_assets.errors import BadInput
from memloop_assets.tasks import split_of_task

DATA = Path(__file__).parents[3] / "shared" / "data"
SOUND = [
    {"task_id": "007", "prompt": "What is\nleft?", "domain": "law", "arm": "big", "reward": 1.0, "cost_usd": 0.02},
    {"task_id": "007", "prompt": "What is\nleft?", "domain": "law", "arm": "small", "reward": 0.0, "cost_usd": None},
    {"task_id": "b", "prompt": "And what, right?", "domain": None, "arm": "big", "reward": 0.5, "cost_usd": 0.01},
]


def write_table(path: Path, rows: list[dict[str, object]]) -> Path:
    table = pa.Table.from_pylist(rows)
    (pq.write_table if path.suffix == ".parquet" else pc.write_csv)(table, path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_parquet_and_csv_give_the_same_suite(tmp_path: Path, suffix: str) -> None:
    suite = import_long_table(write_table(tmp_path / f"table{suffix}", SOUND), name="ours", holdout_share=0.3, salt="x")
    first, second = suite.tasks
    assert (first.task_id, first.domain, second.task_id, second.domain) == ("007", "law", "b", None)
    assert first.outcomes == {"big": ArmOutcome(1.0, 0.02), "small": ArmOutcome(0.0)}
    assert second.outcomes == {"big": ArmOutcome(0.5, 0.01)}
    assert [task.split for task in suite.tasks] == [split_of_task(task.prompt, 0.3, "x") for task in suite.tasks]


def test_columns_that_are_not_needed_may_be_absent_or_extra(tmp_path: Path) -> None:
    rows = [{"task_id": 1, "prompt": "p", "arm": "a", "reward": True, "contaminated": False}]
    task = import_long_table(write_table(tmp_path / "table.parquet", rows), name="ours").tasks[0]
    assert (task.task_id, task.domain, task.outcomes) == ("1", None, {"a": ArmOutcome(1.0)})


def test_ids_with_one_normalised_prompt_are_one_task_with_the_mean_of_their_outcomes(tmp_path: Path) -> None:
    rows = [
        {"task_id": "z", "prompt": "Same  thing", "domain": "law", "arm": "big", "reward": 1.0, "cost_usd": 0.04},
        {"task_id": "a", "prompt": "same thing", "domain": None, "arm": "big", "reward": 0.0, "cost_usd": 0.02},
        {"task_id": "m", "prompt": "SAME THING ", "domain": None, "arm": "big", "reward": 0.5, "cost_usd": None},
        {"task_id": "a", "prompt": "same thing", "domain": None, "arm": "small", "reward": 0.25, "cost_usd": None},
    ]
    suite = import_long_table(write_table(tmp_path / "one.parquet", rows), name="ours")
    task = suite.tasks[0]
    assert len(suite.tasks) == 1
    assert (task.task_id, task.prompt, task.domain) == ("a", "same thing", "law")
    assert task.outcomes["big"].reward == 0.5
    assert task.outcomes["big"].cost_usd == pytest.approx(0.03)
    assert task.outcomes["small"] == ArmOutcome(0.25)
    rows.reverse()
    assert import_long_table(write_table(tmp_path / "two.parquet", rows), name="ours") == suite


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({1: {"arm": "big"}}, r"'007' and arm 'big' occur twice \(rows 1, 2\)"),
        ({1: {"prompt": "Another"}}, r"'007' has two prompts \(rows 1, 2\)"),
        ({1: {"domain": "tax"}}, r"'007' has two domains \(rows 1, 2\)"),
        ({0: {"reward": 1.5}}, "reward is 1.5 in row 1"),
        ({2: {"reward": float("nan")}}, "reward is empty in row 3"),
        ({2: {"reward": float("inf")}}, "reward is inf in row 3"),
        ({2: {"cost_usd": -0.1}}, "cost_usd is -0.1 in row 3"),
        ({0: {"task_id": None}, 2: {"task_id": ""}}, "task_id is empty in rows 1, 3"),
        ({1: {"arm": "  "}}, "arm is empty in row 2"),
    ],
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_broken_row_is_named(tmp_path: Path, suffix: str, change: dict[int, dict[str, object]], culprit: str) -> None:
    rows = [row | change.get(number, {}) for number, row in enumerate(SOUND)]
    with pytest.raises(BadInput, match=culprit) as caught:
        import_long_table(write_table(tmp_path / f"table{suffix}", rows), name="ours")
    assert f"table{suffix}" in caught.value.thing
    assert caught.value.fix


def test_a_reward_in_words_is_named_and_many_rows_are_counted(tmp_path: Path) -> None:
    rows = [{"task_id": str(n), "prompt": f"p{n}", "arm": "a", "reward": "good"} for n in range(8)]
    with pytest.raises(BadInput, match="reward is not a number in rows 1, 2, 3, 4, 5 and 3 more"):
        import_long_table(write_table(tmp_path / "table.csv", rows), name="ours")


def test_missing_columns_are_named_beside_those_found(tmp_path: Path) -> None:
    path = write_table(tmp_path / "table.csv", [{"id": "1", "prompt": "p", "reward": 1.0}])
    with pytest.raises(BadInput, match=r"task_id, arm is missing \(found: id, prompt, reward\)"):
        import_long_table(path, name="ours")


def test_a_file_that_is_no_table_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "noise.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    (tmp_path / "header.csv").write_text("task_id,prompt,arm,reward\n", encoding="utf-8")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "table.json").write_text("{}", encoding="utf-8")
    for name in ("noise.parquet", "empty.csv", "header.csv", "folder.csv", "table.json", "absent.csv"):
        with pytest.raises(BadInput, match=name):
            import_long_table(tmp_path / name, name="ours")


@pytest.mark.skipif(not DATA.exists(), reason="needs the development data in ../shared/data")
def test_llmrouter_outcomes_become_a_suite_of_nine_arms() -> None:
    suite = import_long_table(DATA / "llmrouter-half" / "outcomes.parquet", name="llmrouter")
    assert (len(suite.tasks), len(suite.arms)) == (3001, 9)
    assert 0.47 < len(suite.tasks_of("holdout")) / 3001 < 0.53
