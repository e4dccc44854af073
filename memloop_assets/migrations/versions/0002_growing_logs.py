"""Let a source grow by its tail alone, a file be known by its stat, and the weeks that the sensor asked for be remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what reading on needs; what was landed before has none of it and is read whole the next time it grows."""
    op.add_column("log_sources", sa.Column("head_sha256", sa.String(64), nullable=True))
    op.add_column("log_sources", sa.Column("resume_json", sa.Text, nullable=True))
    op.create_index("ix_log_sources_head_sha256", "log_sources", ["head_sha256"])
    op.create_index("ix_log_sources_byte_count", "log_sources", ["byte_count"])
    op.add_column("log_spans", sa.Column("checksum", sa.BigInteger, nullable=True))
    op.create_table(
        "log_files",
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("reading", sa.String(16), primary_key=True),
        sa.Column("byte_count", sa.BigInteger, nullable=False),
        sa.Column("modified_ns", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("source_id", sa.String(40), nullable=False),
    )
    op.create_table(
        "week_requests",
        sa.Column("week", sa.String(10), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("try_number", sa.Integer, nullable=False),
        sa.Column("is_settled", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("week_requests")
    op.drop_table("log_files")
    op.drop_column("log_spans", "checksum")
    op.drop_index("ix_log_sources_byte_count", "log_sources")
    op.drop_index("ix_log_sources_head_sha256", "log_sources")
    op.drop_column("log_sources", "resume_json")
    op.drop_column("log_sources", "head_sha256")
