"""Does the quality grade predict the real reward? tau-bench's sessions through the reader, the cut and the grade.

Prints counts, tiers against outcomes, and Spearman's rank correlation of ``quality_score`` with the reward, as it is. One model, one
domain, fifty tasks four times each: it says nothing of other agents.

    python benchmarks/quality_against_reward.py [--data PATH]
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from scipy import stats

from memloop_assets.settings import LogSettings
from memloop_assets.state import State
from memloop_assets.trajectories.cutting import CutWeek, cut_week
from memloop_assets.trajectories.landing import Landing
from memloop_assets.trajectories.quality import TIERS, grade_trajectory
from memloop_assets.trajectories.sources import ReadOptions
from memloop_assets.weeks import IsoWeek

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tau-bench" / "gpt-4o-airline.json"
WEEK = IsoWeek(2026, 12)


class Row:
    """A row of ``trajectories`` with its columns as attributes: what the grade looks at."""

    def __init__(self, columns: dict[str, object]) -> None:
        """Take the columns over."""
        self.__dict__.update(columns)


def main() -> int:
    """Read, cut, grade, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    path = parser.parse_args().data
    if not path.exists():
        print(f"{path.name} is not here. Fix: name a tau-bench result file with --data")
        return 1
    with tempfile.TemporaryDirectory(prefix="memloop-quality-") as folder:
        landing = Landing(Path(folder) / "landing", State(Path(folder) / "state.sqlite"))
        report = landing.ingest(path, ReadOptions("tau-bench", arm="the model", start_week=WEEK))
        rows = cut_week(CutWeek(landing, LogSettings()), WEEK, {})[0].to_pylist()
    messages, won = sum(row["message_count"] for row in rows), sum(row["reward"] == 1 for row in rows)
    print(
        f"{len(rows)} trajectories, {messages:,} messages, {won} with reward 1, {report.rejected_count} lines rejected"
    )
    grades = [grade_trajectory(Row(row)) for row in rows]  # type: ignore[arg-type]  # the columns are what it looks at
    outcomes = Counter((grade.tier, row["reward"] == 1) for grade, row in zip(grades, rows, strict=True))
    for tier in TIERS:
        print(f"  {tier:<6} {outcomes[tier, True]:>4} succeeded {outcomes[tier, False]:>4} failed")
    found = stats.spearmanr([grade.score for grade in grades], [row["reward"] for row in rows])
    print(f"rank correlation of quality_score with reward {found.statistic:+.3f} (p = {found.pvalue:.2f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
