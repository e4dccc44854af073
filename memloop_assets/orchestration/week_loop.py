"""The week loop: how an asset is declared, and how a run walks its weeks.

Each week of a run is built, judged and published by itself. A fault that memloop can name becomes that week's error and the other weeks
go on; anything else ends the run once the finished weeks are reported.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pyarrow as pa

from memloop_assets import __version__
from memloop_assets.contracts import TableContract
from memloop_assets.disk_faults import naming_disk_faults
from memloop_assets.errors import DiskFault, LedgerConflict, MemloopError, WriterConflict
from memloop_assets.home import Home
from memloop_assets.orchestration.fault_reports import report_fault
from memloop_assets.orchestration.partitions import WEEKS
from memloop_assets.orchestration.table_metadata import MetadataValue, column_schema, publication_metadata
from memloop_assets.settings import config_hash
from memloop_assets.store import Provenance, Publication, Rule
from memloop_assets.trajectories.redaction import redact_error
from memloop_assets.weeks import IsoWeek

PROGRESS = logging.getLogger("memloop.progress")
OWNERS = ["team:memloop"]
CHECK_NAME = "weeks_published"
HOOKS = frozenset({report_fault})
"""What an asset whose failure can end a week before its report carries: then the hook writes the report."""


@dataclass(frozen=True)
class Built:
    """One week of a table, ready to be judged and published.

    ``inputs`` maps names of what it was built from to their generations; ``config`` holds the settings that shaped it; ``after`` runs once
    the week is published.
    """

    table: pa.Table
    inputs: Mapping[str, str] = field(default_factory=dict)
    rules: Sequence[Rule] = ()
    config: Sequence[object] = ()
    seed: int | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    after: Callable[[Publication], Mapping[str, MetadataValue]] | None = None


def weekly_asset(
    contract: TableContract,
    *,
    group: str,
    kinds: set[str],
    deps: Sequence[Any] = (),
    is_published_always: bool = True,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare a weekly table as an asset: name, columns and description come from its contract and docstring.

    ``is_published_always`` is false for one that may end without materialising anything: its function is then a generator.
    """
    return dg.asset(
        name=contract.name,
        group_name=group,
        partitions_def=WEEKS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=deps,
        kinds=kinds,
        owners=OWNERS,
        metadata={
            "dagster/column_schema": column_schema(contract),
            "row": contract.row,
            "key": ", ".join(contract.key),
        },
        code_version=__version__,
        hooks=HOOKS,
        output_required=is_published_always,
        check_specs=[
            dg.AssetCheckSpec(
                CHECK_NAME,
                asset=contract.name,
                description="Every week kept its contract and verdicts and is published.",
            )
        ],
    )


def run_weeks(
    context: dg.AssetExecutionContext, home: Home, contract: TableContract, build: Callable[[IsoWeek], Built]
) -> dg.MaterializeResult:
    """Build and publish each week of the run in order, and report each with its own numbers.

    Raises WriterConflict or LedgerConflict where another process writes the same week, DiskFault, and what ``build`` raises besides
    MemloopErrors.
    """
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own default keeps what a week has freed
    reported: dict[str, Mapping[str, MetadataValue]] = {}
    is_finished = False
    try:
        for number, key in enumerate(context.partition_keys, start=1):
            week = IsoWeek.parse(key)
            with naming_disk_faults(home.places.data):
                metadata = _run_week(home, contract, week, build)
            context.add_asset_metadata(metadata, partition_key=key)
            reported[key] = metadata
            outcome = str(metadata.get("error") or f"{metadata['dagster/row_count']:,} rows")
            context.log.info("%s %s: %s", contract.name, week, outcome)
            step = (contract.name, week, number, len(context.partition_keys), outcome, "error" in metadata)
            PROGRESS.info(outcome, extra={"week_step": step})
        is_finished = True
    finally:
        if not is_finished:
            for key, metadata in reported.items():
                context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=dict(metadata)))
    return dg.MaterializeResult(check_results=[published_check(home, contract)])


def published_check(home: Home, contract: TableContract) -> dg.AssetCheckResult:
    """Return the check that no week of the table stands failed; it lists those that do."""
    failed = home.store.failures(contract.name)
    listed = "\n".join(f"- {week}: {reason}" for week, reason in failed.items())
    return dg.AssetCheckResult(
        check_name=CHECK_NAME,
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"failed_week_count": len(failed), "failed_weeks": dg.MetadataValue.md(listed or "none")},
    )


def _run_week(
    home: Home, contract: TableContract, week: IsoWeek, build: Callable[[IsoWeek], Built]
) -> Mapping[str, MetadataValue]:
    try:
        built = build(week)
        provenance = Provenance(built.inputs, __version__, config_hash(*built.config), built.seed)
        publication = home.store.publish(contract, week, built.table, provenance, built.rules)
        after = built.after(publication) if built.after else {}
    except (WriterConflict, LedgerConflict, DiskFault):
        raise
    except MemloopError as error:
        told = redact_error(error)
        home.store.record_failure(contract.name, week, told)
        return {"error": str(told), "dagster/row_count": 0}
    return {**built.metadata, **after, **publication_metadata(publication)}
