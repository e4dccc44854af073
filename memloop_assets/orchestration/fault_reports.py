"""Reports of attempts that came to no report of their own: a run whose step failed, or whose process was killed.

Written by memloop itself, with no daemon. What the gate decides of a week with failed inputs is an ordinary report, made by its asset.
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from memloop_assets.home import Home
from memloop_assets.orchestration.run_tags import DRY_RUN_TAG, weeks_of_run
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.report import Audit, report_facts, report_row
from memloop_assets.weeks import IsoWeek

_REPORTING_STEP = "training_report"


@dg.failure_hook(name="report_fault", required_resource_keys={"home"})
def report_fault(context: dg.HookContext) -> None:
    """Leave a report of every week of a run whose failed step the report would have rested on."""
    run = context.instance.get_run_by_id(context.run_id)
    if run is None or not _leads_to_report(context.instance, run, context.step_key):
        return
    reason = f"The run ended at {context.step_key} ({type(context.op_exception).__name__}: {context.op_exception})."
    report_missing_weeks(context.resources.home.open(), run.run_id, run.tags, reason)


def report_missing_weeks(home: Home, run_id: str, tags: Mapping[str, str], reason: str) -> Sequence[IsoWeek]:
    """Record an attempt with outcome ``error`` for each week of a run that left none; return these weeks."""
    attempts = Attempts(home.state, home.places.training_reports)
    reported = attempts.weeks_of_run(run_id)
    missing = [week for week in weeks_of_run(tags) if week not in reported]
    for week in missing:
        facts = report_facts(report_row(Audit(week, fault=reason, standing=home.ledger.decision_of(week))))
        attempts.record(week, facts, run_id=run_id, is_dry_run=DRY_RUN_TAG in tags, now=home.now())
    return missing


def _leads_to_report(instance: dg.DagsterInstance, run: dg.DagsterRun, failed_step: str) -> bool:
    """Tell whether the run would have written reports, after and because of the failed step."""
    if run.execution_plan_snapshot_id is None:
        return False
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    before = {step.key: {h.step_key for i in step.inputs for h in i.upstream_output_handles} for step in plan.steps}
    waiting, seen = [_REPORTING_STEP], set()
    while waiting:
        step = waiting.pop()
        seen.add(step)
        waiting += before.get(step, set()) - seen
    return _REPORTING_STEP in before and failed_step in seen
