"""Exports of real conversations, loaded by the trainers' own code: `datasets`, and what TRL does with rows before it trains."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest

from memloop_assets.datasets.conversations import Chat, to_training_chat
from memloop_assets.datasets.exports.catalogue import TRAINERS
from memloop_assets.datasets.exports.training_file import Kind, export_file
from memloop_assets.datasets.preferences import build_preference_pairs
from memloop_assets.datasets.tables import PREFERENCE_PAIRS, SFT_EXAMPLES
from memloop_assets.settings import DatasetSettings, LogSettings
from memloop_assets.store import Provenance, Store
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.sniffing import sniff
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek
from memloop_tests.architecture.source_tree import ROOT
from memloop_tests.interop.programs import missing_for, printed_by
from memloop_tests.trajectories.samples import landing_at

REAL = ROOT.parent / "shared" / "data" / "tau-bench" / "gpt-4o-airline.json"
pytestmark = [
    pytest.mark.skipif(not REAL.exists(), reason="needs shared/data/tau-bench, which is not part of the repository"),
    pytest.mark.skipif(bool(missing := missing_for("load_training_file")), reason=missing),
]
WEEK = IsoWeek(2026, 12)
COLUMNS = {
    "openai": (["messages"], ["input", "non_preferred_output", "preferred_output"]),
    "trl": (["messages"], ["chosen", "prompt", "rejected"]),
    "axolotl": (["messages"], ["chosen", "messages", "rejected"]),
    "llamafactory": (["conversations", "system"], ["chosen", "conversations", "rejected", "system"]),
}


@cache
def _scratch() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="memloop-interop-")


@cache
def conversations() -> list[dict[str, Any]]:
    """Return tau-bench's sessions as memloop reads them: a row each."""
    folder = Path(_scratch().name) / "landed"
    folder.mkdir()
    landing = landing_at(folder)
    landing.ingest(REAL, ReadOptions(format=sniff(REAL), arm="gpt-4o", start_week=WEEK))
    cut = CutWeek(landing, LogSettings())
    return [row for week in landing.weeks() for row in cut_week(cut, week, {})[0].to_pylist()]


def exported(store: Store, folder: Path, kind: Kind, trainer: str) -> tuple[Path, int]:
    """Return the file that an export writes, and how many rows it says it holds."""
    path = folder / f"{kind}-{trainer}.jsonl"
    return path, export_file(store, kind, TRAINERS[trainer], (WEEK, WEEK), path).written_count


def publish(store: Store) -> int:
    """Publish every session as an example, the pairs among them, and a pair of plain answers, which all take; return how many pairs."""
    rows = conversations()
    chats: list[Chat] = [
        to_training_chat(json.loads(r["messages_json"]), json.loads(r["tool_calls_json"])) for r in rows
    ]
    examples = [
        {
            "week": str(WEEK), "example_id": row["trajectory_id"], "trajectory_id": row["trajectory_id"], "task_key": row["task_key"],
            "messages_json": json.dumps(chat), "message_count": len(chat), "quality_tier": "HIGH", "quality_score": 5.0,
        }
        for row, chat in zip(rows, chats, strict=True)
    ]  # fmt: skip
    store.publish(SFT_EXAMPLES, WEEK, SFT_EXAMPLES.table(examples), Provenance())
    judged = [{**row, "week": str(WEEK), "quality_tier": "HIGH"} for row in rows]
    pairs, _ = build_preference_pairs(WEEK, pa.Table.from_pylist(judged), DatasetSettings())
    plain = [{"role": "assistant", "content": text} for text in ("Yes, until noon.", "No.")]
    single = {"example_id": "plain", "prompt_json": '[{"role": "user", "content": "May I change it?"}]'}
    single |= {f"{side}_json": json.dumps([said]) for side, said in zip(("chosen", "rejected"), plain, strict=True)}
    told = [*pairs.to_pylist(), {**pairs.to_pylist()[0], **single}]
    store.publish(PREFERENCE_PAIRS, WEEK, PREFERENCE_PAIRS.table(told), Provenance())
    return len(told)


def loaded(path: Path, folder: Path) -> dict[str, Any]:
    return json.loads(printed_by("load_training_file", path, folder / "cache"))


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_real_session_loads_as_its_trainer_loads_it(trainer: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    publish(store)
    path, count = exported(store, tmp_path, "sft", trainer)
    found = loaded(path, tmp_path)
    print(trainer, found)
    assert (found["rows"], count, found["equal"]) == (200, 200, 200)
    assert found["columns"] == COLUMNS[trainer][0]
    if trainer == "trl":
        assert found["conversational"] == 200
        assert found["rendered"] == {"as strings": 200, "as objects": 200}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_pairs_of_real_sessions_load_as_their_trainer_loads_them(trainer: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    pairs = publish(store)
    path, count = exported(store, tmp_path, "preferences", trainer)
    print(trainer, pairs, count)
    assert count == (pairs if trainer == "trl" else 1)
    found = loaded(path, tmp_path)
    assert (found["rows"], found["equal"]) == (count, count)
    assert found["columns"] == COLUMNS[trainer][1]
    if trainer == "trl":
        assert pairs > 1
        assert found["conversational"] == count
        assert found["rendered"] == {"as strings": count, "as objects": count}
