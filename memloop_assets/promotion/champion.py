"""The live pointer: what the ledger says, published as one small file that agents load.

The ledger is the truth; this file only repeats it, atomically. Which version wins is decided elsewhere.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.datasets.tables import DATASET_SNAPSHOT
from memloop_assets.errors import LedgerConflict
from memloop_assets.promotion.evidence import Sources, built_in_router, champion_router
from memloop_assets.routing.checkpoint import checkpoint_digest, save_checkpoint
from memloop_assets.routing.versions import BUILT_IN, Canary, LedgerRow, first_broken_row
from memloop_assets.store import write_atomically


def publish_champion(path: Path, sources: Sources) -> Mapping[str, object] | None:
    """Write the live champion's version, epoch and hash to ``champion.json``, and those of a canary that runs; return what was written.

    It also names the ledger's newest row, so that rows cut off its end are noticed; raises LedgerConflict where they were, rather than
    overwriting what tells of it. Before the first promotion it is the built-in policy, fitted on the newest snapshot; None (and no
    file) where there are no samples yet. While a canary runs beside the built-in policy, that stays the router which the canary is
    compared with. Raises BadCheckpoint where a checkpoint is not there.
    """
    rows = sources.ledger.rows()
    fault = fault_of_tail(path, rows)
    if fault:
        raise fault
    champion, canary = sources.ledger.champion_as_of(), sources.ledger.canary_as_of()
    moved = [row for row in rows if row.to_version == champion and row.to_version != row.from_version]
    if champion != BUILT_IN:
        version: str | None = champion
    else:
        version = _save_control(canary, sources) if canary else _save_built_in(sources)
    if version is None:
        return None
    written = {
        "version": version,
        "policy": "router" if champion != BUILT_IN else BUILT_IN,
        "epoch": max((row.epoch for row in rows), default=0),
        "sha256": checkpoint_digest(sources.router_versions, version),
        "promoted_week": moved[-1].week if moved else None,
        "ledger": {"seq": rows[-1].seq, "row_hash": rows[-1].row_hash} if rows else None,
        "canary": _canary_facts(canary, sources) if canary else None,
    }
    write_atomically(path, json.dumps(written, indent=1, sort_keys=True).encode())
    return written


def ledger_fault(path: Path, rows: Sequence[LedgerRow]) -> LedgerConflict | None:
    """Return what is wrong with the ledger: a row that is not as it was written, or rows cut off its end; None where it is whole."""
    broken = first_broken_row(rows)
    if broken:
        culprit = f"row {broken.seq} ({broken.week}) is not as it was written"
        return LedgerConflict("ledger", culprit, "restore data/state.sqlite from a backup")
    return fault_of_tail(path, rows)


def fault_of_tail(path: Path, rows: Sequence[LedgerRow]) -> LedgerConflict | None:
    """Return that the ledger lacks the row that was its newest when ``champion.json`` was published; None where it holds it."""
    try:
        newest = json.loads(path.read_bytes())["ledger"] or {}
        seq, row_hash = newest.get("seq"), newest.get("row_hash")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nothing was published, or what lies there cannot be read: whoever loads it is told
    if row_hash is None or any(row.row_hash == row_hash for row in rows):
        return None
    ends = f"the ledger ends at row {rows[-1].seq}" if rows else "the ledger is empty"
    culprit = (
        f"champion.json was published from row {seq} with the hash {str(row_hash)[:12]}, which is not there; {ends}"
    )
    fix = "restore data/state.sqlite from a backup, or remove champion.json to take the ledger as it is"
    return LedgerConflict("ledger", culprit, fix)


def _canary_facts(canary: Canary, sources: Sources) -> Mapping[str, object]:
    return {
        "version": canary.version,
        "sha256": checkpoint_digest(sources.router_versions, canary.version),
        "share": canary.share,
        "since": str(canary.since),
    }


def _save_control(canary: Canary, sources: Sources) -> str:
    """Return the version of the built-in policy beside which a canary began, and see that its checkpoint is there."""
    if not (sources.router_versions / canary.control).exists():
        samples = read_samples(sources.store, canary.since)
        save_checkpoint(champion_router(BUILT_IN, canary.since, sources, samples), sources.router_versions)
    return canary.control


def _save_built_in(sources: Sources) -> str | None:
    for week in reversed(sources.store.weeks(DATASET_SNAPSHOT.name)):
        if (
            sources.store.is_readable(DATASET_SNAPSHOT.name, week)
            and (samples := read_samples(sources.store, week)).num_rows
        ):
            return save_checkpoint(built_in_router(samples, sources), sources.router_versions)
    return None
