"""State: one database per home that any number of processes may open at once, durable, migrated, and append-only where it must be."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from memloop_assets.state import LEDGER, LOG_SPANS, METADATA, State
from memloop_tests.writers import open_homes_and_append, run_at_once


def a_span(source_id: str = "s", week: str = "2026-W12") -> dict[str, object]:
    return {"source_id": source_id, "week": week, "start_offset": 0, "end_offset": 9, "start_line": 1, "line_count": 1}


def a_ledger_row(seq: int = 1) -> dict[str, object]:
    texts = {c.name: c.name for c in LEDGER.columns if isinstance(c.type, sa.String | sa.Text)}
    return {**texts, "seq": seq, "epoch": 0, "row_hash": str(seq), "decided_week": str(seq)}


def test_the_migrations_build_the_very_tables_that_the_code_declares(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    with state.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        assert context.get_current_revision() == "0004"
    state.close()


def test_a_table_that_no_migration_makes_would_be_noticed(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    declared = sa.MetaData()
    for table in METADATA.tables.values():
        table.to_metadata(declared)
    sa.Table("notices", declared, sa.Column("at", sa.Text))
    with state.engine.connect() as connection:
        assert len(compare_metadata(MigrationContext.configure(connection), declared)) == 1
    state.close()


def test_opening_a_home_again_changes_nothing(tmp_path: Path) -> None:
    for number in range(3):
        state = State(tmp_path / "deep" / "down" / "state.sqlite")
        with state.transaction() as connection:
            connection.execute(sa.insert(LOG_SPANS).values(a_span(f"s{number}")))
        state.close()
    state = State(tmp_path / "deep" / "down" / "state.sqlite")
    with state.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(LOG_SPANS)).scalar() == 3
    state.close()


@pytest.mark.parametrize("name", ["a home", "is it?", "100%", "50%20", "#1", "päth", "a;b&c=d"])
def test_a_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    state = State(tmp_path / name / "state.sqlite")
    state.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "state.sqlite").stat().st_size > 0


def test_every_connection_is_durable_and_waits_for_its_turn(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    wanted = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 60_000}
    with state.engine.connect() as one, state.engine.connect() as other:
        for connection in (one, other):
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
            assert found == wanted
    state.close()


def test_a_transaction_holds_the_write_lock_from_its_first_statement(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    other = sqlite3.connect(tmp_path / "state.sqlite", timeout=0, isolation_level=None)
    with state.transaction() as connection:
        connection.execute(sa.select(LOG_SPANS)).all()
        assert other.execute("SELECT count(*) FROM log_spans").fetchone() == (0,)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    state.close()


def test_a_transaction_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    spans = [a_span("new"), a_span("twice"), a_span("twice")]
    with pytest.raises(sa.exc.IntegrityError), state.transaction() as connection:
        connection.execute(sa.insert(LOG_SPANS), spans)
    with state.engine.connect() as connection:
        assert connection.execute(sa.select(LOG_SPANS)).all() == []
    with state.transaction() as connection:
        connection.execute(sa.insert(LOG_SPANS).values(a_span()))
    with state.engine.connect() as connection:
        assert len(connection.execute(sa.select(LOG_SPANS)).all()) == 1
    state.close()


def test_the_ledger_refuses_to_change_or_forget_a_row(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    with state.transaction() as connection:
        connection.execute(sa.insert(LEDGER), [a_ledger_row(1), a_ledger_row(2)])
    for statement in (sa.update(LEDGER).values(reason="another"), sa.delete(LEDGER).where(LEDGER.c.seq == 2)):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), state.transaction() as connection:
            connection.execute(statement)
    with state.engine.connect() as connection:
        assert connection.execute(sa.select(LEDGER.c.seq, LEDGER.c.reason)).all() == [(1, "reason"), (2, "reason")]
    state.close()


def test_the_ledger_takes_one_decision_per_week(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    rows = [a_ledger_row(1), {**a_ledger_row(2), "decided_week": "1"}]
    with pytest.raises(sa.exc.IntegrityError, match="decided_week"), state.transaction() as connection:
        connection.execute(sa.insert(LEDGER), rows)
    state.close()


def test_eight_processes_open_fresh_homes_at_once(tmp_path: Path) -> None:
    databases = [tmp_path / f"home {number}" / "data" / "state.sqlite" for number in range(2)]
    assert run_at_once(open_homes_and_append, databases, count=8) == ["appended"] * 8
    for database in databases:
        state = State(database)
        with state.engine.connect() as connection:
            assert sorted(connection.execute(sa.select(LOG_SPANS.c.source_id)).scalars()) == [f"s{n}" for n in range(8)]
            assert connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 1
        state.close()
