"""Make the table of attempts; it refuses updates and deletes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table and the triggers that keep it append-only."""
    op.create_table(
        "attempts",
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
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER attempts_refuse_{verb.lower()} BEFORE {verb} ON attempts "
            "BEGIN SELECT RAISE(ABORT, 'attempts are append-only'); END"
        )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("attempts")
