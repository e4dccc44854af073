"""Routing: the router, its training, its checkpoints and the ledger of champions."""
