"""Make the tables of forgotten people: append-only events, ties to their lines, and the notes of a forgetting that goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables, and the triggers that keep the events append-only."""
    op.create_table(
        "forget_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("user_hash", sa.String(32), nullable=False, index=True),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("counts_json", sa.Text, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
    )
    op.create_table(
        "forgotten_ties",
        sa.Column("stream_hash", sa.String(32), primary_key=True),
        sa.Column("session_hash", sa.String(32), primary_key=True),
        sa.Column("task_hash", sa.String(32), primary_key=True),
        sa.Column("decision_hash", sa.String(32), primary_key=True),
    )
    op.create_table(
        "forget_notes",
        sa.Column("user_hash", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("value", sa.Text, primary_key=True),
    )
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER forget_events_refuse_{verb.lower()} BEFORE {verb} ON forget_events "
            "BEGIN SELECT RAISE(ABORT, 'forget_events are append-only'); END"
        )


def downgrade() -> None:
    """Drop the tables."""
    for name in ("forget_notes", "forgotten_ties", "forget_events"):
        op.drop_table(name)
