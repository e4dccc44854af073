"""State: the SQL engine and the shape of its tables, for facts that are appended rather than recomputed.

Here are the log index (which bytes of which source fall in which week, which files were seen, which weeks were asked for), the ledger's
table, that of attempts and who was forgotten; the statements that read and write them stand in ``trajectories/log_index.py``,
``trajectories/forget_index.py``, ``routing/versions.py`` and ``promotion/attempts.py``. Migrations are in ``migrations/`` and run when a
home is opened. What is deleted is overwritten with zeros: a deleted row may have named somebody.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from memloop_assets.store import make_folder

METADATA = sa.MetaData()

LOG_SOURCES = sa.Table(
    "log_sources",
    METADATA,
    sa.Column("source_id", sa.String(40), primary_key=True),
    sa.Column("stream", sa.Text, nullable=False, index=True),
    sa.Column("file_name", sa.Text, nullable=False),
    sa.Column("format", sa.String(40), nullable=False),
    sa.Column("origin", sa.String(20), nullable=False),
    sa.Column("options_json", sa.Text, nullable=False),
    sa.Column("byte_count", sa.BigInteger, nullable=False, index=True),
    sa.Column("line_count", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("fallback_at", sa.String(40), nullable=False),
    sa.Column("head_sha256", sa.String(64), nullable=True, index=True),
    sa.Column("resume_json", sa.Text, nullable=True),
)

LOG_SPANS = sa.Table(
    "log_spans",
    METADATA,
    sa.Column("source_id", sa.String(40), primary_key=True),
    sa.Column("week", sa.String(10), primary_key=True, index=True),
    sa.Column("start_offset", sa.BigInteger, nullable=False),
    sa.Column("end_offset", sa.BigInteger, nullable=False),
    sa.Column("start_line", sa.BigInteger, nullable=False),
    sa.Column("line_count", sa.BigInteger, nullable=False),
    sa.Column("checksum", sa.BigInteger, nullable=True),
)

LOG_FILES = sa.Table(
    "log_files",
    METADATA,
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("reading", sa.String(16), primary_key=True),
    sa.Column("byte_count", sa.BigInteger, nullable=False),
    sa.Column("modified_ns", sa.BigInteger, nullable=False),
    sa.Column("inode", sa.BigInteger, nullable=False),
    sa.Column("source_id", sa.String(40), nullable=False),
)

WEEK_REQUESTS = sa.Table(
    "week_requests",
    METADATA,
    sa.Column("week", sa.String(10), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("try_number", sa.Integer, nullable=False),
    sa.Column("is_settled", sa.Boolean, nullable=False),
)

LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("week", sa.String(10), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("from_version", sa.String(80), nullable=False),
    sa.Column("to_version", sa.String(80), nullable=False),
    sa.Column("evidence_hash", sa.String(64), nullable=False),
    sa.Column("numbers_json", sa.Text, nullable=False),
    sa.Column("actor", sa.String(80), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("prev_hash", sa.String(64), nullable=False),
    sa.Column("row_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("decided_week", sa.String(10), nullable=True, unique=True),
)

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("week", sa.String(10), nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False, index=True),
    sa.Column("is_dry_run", sa.Boolean, nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("report_sha256", sa.String(64), nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.UniqueConstraint("week", "number"),
)

FORGET_EVENTS = sa.Table(
    "forget_events",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("user_hash", sa.String(32), nullable=False, index=True),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("counts_json", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
)

FORGOTTEN_TIES = sa.Table(
    "forgotten_ties",
    METADATA,
    sa.Column("stream_hash", sa.String(32), primary_key=True),
    sa.Column("session_hash", sa.String(32), primary_key=True),
    sa.Column("task_hash", sa.String(32), primary_key=True),
    sa.Column("decision_hash", sa.String(32), primary_key=True),
)

FORGET_NOTES = sa.Table(
    "forget_notes",
    METADATA,
    sa.Column("user_hash", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(20), primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
)


class State:
    """The SQL database of one home: SQLite in WAL mode, every transaction durable when it returns."""

    def __init__(self, database: Path) -> None:
        """Open (and make or migrate) the database file."""
        make_folder(database.parent)
        self.engine = _sqlite_engine(database)
        with _one_migrator(database.with_suffix(".lock")):
            _migrate(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Run a write transaction that holds the database's write lock from its first statement (``BEGIN IMMEDIATE``)."""
        with self.engine.connect().execution_options(memloop_writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _sqlite_engine(database: Path) -> sa.Engine:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(database)), connect_args={"timeout": 60})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA busy_timeout=60000")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("memloop_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _one_migrator(lock_path: Path) -> Iterator[None]:
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _migrate(engine: sa.Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
    with engine.connect().execution_options(memloop_writes=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
