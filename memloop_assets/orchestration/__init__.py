"""Orchestration: what Dagster needs besides the assets themselves."""
