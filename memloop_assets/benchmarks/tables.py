"""The tables of the room ``benchmarks``: the frozen suite, and what policies score on it."""

import pyarrow as pa

from memloop_assets.benchmarks.suite import BenchmarkSuite, suite_of_rows, suite_rows
from memloop_assets.contracts import Column, TableContract
from memloop_assets.errors import BadInput
from memloop_assets.trajectories.tables import TASK_KEY, WEEK

_TASK_ID = Column("task_id", "string", "name of the task in the benchmark")
_DOMAIN = Column("domain", "string", "kind of task", nullable=True)
_COST = Column("cost_usd", "float", "cost of the call", nullable=True, minimum=0)
_LATENCY = Column("latency_ms", "float", "latency of the call", nullable=True, minimum=0)

BENCHMARK_SUITE = TableContract(
    name="benchmark_suite",
    row="what one arm achieved on one benchmark task",
    key=("task_id", "arm"),
    columns=(
        Column("suite_name", "string", "name of the benchmark"),
        Column("holdout_share", "float", "share of tasks that the split holds out", minimum=0, maximum=1),
        Column("salt", "string", "salt of the split"),
        _TASK_ID,
        TASK_KEY,
        Column("prompt", "string", "the task as it is asked"),
        _DOMAIN,
        Column("split", "string", "practice may teach, holdout never does", allowed=("practice", "holdout")),
        Column("arm", "string", "arm that tried it"),
        Column("reward", "float", "reward that it earned", minimum=0, maximum=1),
        _COST,
        _LATENCY,
    ),
)

BENCHMARK_RESULTS = TableContract(
    name="benchmark_results",
    row="what one policy earns on one holdout task",
    key=("policy", "task_id"),
    columns=(
        WEEK,
        _TASK_ID,
        TASK_KEY,
        _DOMAIN,
        Column("policy", "string", "challenger, a control, or the name of a baseline policy"),
        Column("arm", "string", "arm that it chose; null where it stands for an expectation", nullable=True),
        Column(
            "reward",
            "float",
            "reward in the suite; null where the suite has none for the arm",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
        _COST,
        _LATENCY,
        Column(
            "predicted_reward",
            "float",
            "reward that the policy expected of the arm",
            nullable=True,
            minimum=0,
            maximum=1,
        ),
    ),
)

TABLES = (BENCHMARK_SUITE, BENCHMARK_RESULTS)


def suite_table(suite: BenchmarkSuite) -> pa.Table:
    """Return a suite as rows of ``benchmark_suite``."""
    rows = suite_rows(suite)
    for name in ("salt", "holdout_share", "suite_name"):
        value = suite.name if name == "suite_name" else getattr(suite, name)
        rows = rows.add_column(0, name, pa.array([value] * rows.num_rows))
    return rows


def suite_of_table(table: pa.Table) -> BenchmarkSuite:
    """Return the suite that ``benchmark_suite`` holds; raises BadInput for an empty table."""
    if not table.num_rows:
        raise BadInput("benchmark_suite", "it has no rows", "materialise benchmark_suite again")
    facts = {name: table[name][0].as_py() for name in ("suite_name", "holdout_share", "salt")}
    return suite_of_rows(table, name=facts["suite_name"], holdout_share=facts["holdout_share"], salt=facts["salt"])
