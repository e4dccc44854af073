"""The live pointer repeats what the ledger says, and moves for nothing else."""

import json
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from memloop_assets.client import load_champion
from memloop_assets.errors import BadCheckpoint, LedgerConflict
from memloop_assets.home import Home
from memloop_assets.promotion.champion import ledger_fault, publish_champion
from memloop_assets.promotion.evidence import Sources
from memloop_assets.routing.checkpoint import checkpoint_digest
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.routing.versions import first_broken_row
from memloop_assets.state import LEDGER
from memloop_assets.status import status_lines
from memloop_assets.weeks import IsoWeek
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    LONG_AFTER,
    finished_home,
    open_at,
    run_weeks_through_dagster,
    write_settings,
)

NOW = datetime.fromisoformat(LONG_AFTER)
NEXT = LAST_RUN.shift(1)


def publish(home: Home) -> dict[str, object] | None:
    places = home.places
    sources = Sources(
        home.store, home.ledger, places.router_versions, home.arm_prices, TrainingSettings(), home.first_week
    )
    found = publish_champion(places.champion, sources)
    return dict(found) if found is not None else None


def decide(home: Home, week: IsoWeek, action: str, to_version: str) -> None:
    home.ledger.append_decision(
        week,
        action,
        from_version=home.ledger.champion_as_of(week),
        to_version=to_version,
        evidence_hash="e",
        numbers={},
        reason="planted",
        now=NOW,
    )


def test_it_names_the_promoted_version_its_week_its_epoch_and_its_hash(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    promoted = [row for row in home.ledger.rows() if row.action == "promote"]
    written = publish(home)
    assert written == json.loads(home.places.champion.read_bytes())
    assert written == {
        "version": promoted[-1].to_version,
        "policy": "router",
        "epoch": len(promoted),
        "sha256": checkpoint_digest(home.places.router_versions, promoted[-1].to_version),
        "promoted_week": promoted[-1].week,
        "ledger": {"seq": 5, "row_hash": home.ledger.rows()[-1].row_hash},
        "canary": None,
    }


@pytest.mark.parametrize("action", ["reject", "hold", "skip", "error"])
def test_any_other_decision_moves_nothing_but_the_row_that_it_was_published_from(tmp_path: Path, action: str) -> None:
    home = finished_home(tmp_path / "home")
    before = json.loads(home.places.champion.read_bytes())
    decide(home, NEXT, action, home.ledger.champion_as_of(NEXT))
    publish(home)
    newest = {"seq": 6, "row_hash": home.ledger.rows()[-1].row_hash}
    assert json.loads(home.places.champion.read_bytes()) == {**before, "ledger": newest}


def test_a_promotion_moves_it_and_counts_one_epoch_more(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    before = publish(home) or {}
    version = next(p.name for p in home.places.router_versions.iterdir() if p.name != before["version"])
    decide(home, NEXT, "promote", version)
    after = publish(home) or {}
    assert (after["version"], after["promoted_week"]) == (version, str(NEXT))
    assert after["epoch"] == int(str(before["epoch"])) + 1
    assert load_champion(home.places.data).version == version


def test_a_promoted_version_whose_checkpoint_is_gone_does_not_replace_the_pointer(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    before = home.places.champion.read_bytes()
    decide(home, NEXT, "promote", "0123456789abcdef")
    with pytest.raises(BadCheckpoint):
        publish(home)
    assert home.places.champion.read_bytes() == before


def test_without_samples_there_is_no_champion_to_load(tmp_path: Path) -> None:
    write_settings(tmp_path / "home")
    assert run_weeks_through_dagster(tmp_path / "home", FIRST).success
    home = open_at(tmp_path / "home")
    assert publish(home) is None
    assert not home.places.champion.exists()


def test_rows_cut_off_the_ledgers_end_are_noticed_and_the_pointer_stays(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    rows = home.ledger.rows()
    before = home.places.champion.read_bytes()
    assert ledger_fault(home.places.champion, rows) is None
    for left, ends in (
        (rows[:-1], "the ledger ends at row 4"),
        (rows[:-2], "ends at row 3"),
        ([], "the ledger is empty"),
    ):
        assert first_broken_row(left) is None, "its chain alone does not tell"
        told = str(ledger_fault(home.places.champion, left))
        assert told.startswith(f"ledger: champion.json was published from row 5 with the hash {rows[-1].row_hash[:12]}")
        assert ends in told
        assert "Fix: restore data/state.sqlite from a backup, or remove champion.json" in told
    with home.state.transaction() as connection:
        names = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for name in names:
            connection.execute(sa.text(f"DROP TRIGGER {name}"))
        connection.execute(sa.delete(LEDGER).where(LEDGER.c.seq == 5))
    assert any("champion.json was published from row 5" in line for line in status_lines(home))
    with pytest.raises(LedgerConflict, match="published from row 5"):
        publish(home)
    assert home.places.champion.read_bytes() == before
    decide(home, LAST_RUN, "hold", home.ledger.champion_as_of(LAST_RUN))
    with pytest.raises(LedgerConflict, match="which is not there"):
        publish(home)
    home.places.champion.unlink()
    publish(home)
    assert ledger_fault(home.places.champion, home.ledger.rows()) is None
