"""Migrations: the history of the SQL tables' shape, run by ``state`` through Alembic."""
