"""Make the log index and the ledger; the ledger refuses updates and deletes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables and the triggers that keep the ledger append-only."""
    op.create_table(
        "log_sources",
        sa.Column("source_id", sa.String(40), primary_key=True),
        sa.Column("stream", sa.Text, nullable=False, index=True),
        sa.Column("file_name", sa.Text, nullable=False),
        sa.Column("format", sa.String(40), nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("options_json", sa.Text, nullable=False),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("line_count", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
        sa.Column("fallback_at", sa.String(40), nullable=False),
    )
    op.create_table(
        "log_spans",
        sa.Column("source_id", sa.String(40), primary_key=True),
        sa.Column("week", sa.String(10), primary_key=True, index=True),
        sa.Column("start_offset", sa.BigInteger, nullable=False),
        sa.Column("end_offset", sa.BigInteger, nullable=False),
        sa.Column("start_line", sa.BigInteger, nullable=False),
        sa.Column("line_count", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ledger",
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
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER ledger_refuses_{verb.lower()} BEFORE {verb} ON ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )


def downgrade() -> None:
    """Drop the first tables."""
    op.drop_table("ledger")
    op.drop_table("log_spans")
    op.drop_table("log_sources")
