"""Alembic's entry: runs the migrations on the connection that ``state`` hands over, inside one transaction."""

from alembic import context

from memloop_assets.state import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
