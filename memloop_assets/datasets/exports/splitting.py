"""Splitting examples into training and validation by user group, task and session, so that validation measures what is new.

Whole user groups are held out. What would straddle is written on neither side: it costs validation examples, never training ones.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from memloop_assets.datasets.tables import SFT_EXAMPLES
from memloop_assets.errors import BadInput, InputFailed
from memloop_assets.store import Store
from memloop_assets.trajectories.ownership import USER_GROUP_COUNT
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_assets.weeks import IsoWeek

Side = Literal["training", "validation"]
Origin = tuple[str | None, int | None]
"""The session of a trajectory and the group of its user, None where it was logged without."""


def split_examples(store: Store, table: str, rows: Sequence[Mapping[str, str]], share: float) -> list[str]:
    """Return for each example its side, or why it is on neither: ``users_on_both_sides``, ``task_in_training``, ``session_in_training``.

    ``rows`` are of the table ``sft_examples`` or ``preference_pairs``. An example without a user is placed by its task. Raises BadInput for
    a share outside 0 to 0.5, TableError where the trajectories that an example was made from cannot be read any more.
    """
    if not 0 < share <= 0.5:
        raise BadInput("--validation-share", f"{share} is not above 0 and at most 0.5", "give a share such as 0.1")
    return place_examples([row["task_key"] for row in rows], _origins_of(store, table, rows), share)


def place_examples(task_keys: Sequence[str], origins: Sequence[Sequence[Origin]], share: float) -> list[str]:
    """Return the side of each example, or why it is on neither, from its task and where it comes from: (session, user group) pairs."""
    sides = [_side_of(key, origin, share) for key, origin in zip(task_keys, origins, strict=True)]
    trained = [place for place, side in enumerate(sides) if side == "training"]
    tasks = {task_keys[place] for place in trained}
    sessions = {session for place in trained for session, _ in origins[place] if session is not None}
    for place, (key, origin) in enumerate(zip(task_keys, origins, strict=True)):
        if sides[place] == "validation" and key in tasks:
            sides[place] = "task_in_training"
        elif sides[place] == "validation" and any(session in sessions for session, _ in origin):
            sides[place] = "session_in_training"
    return sides


def _side_of(task_key: str, origin: Sequence[Origin], share: float) -> str:
    groups = {group for _, group in origin if group is not None}
    if not groups:
        return "validation" if int(task_key[:8], 16) < share * 16**8 else "training"
    held = {group < share * USER_GROUP_COUNT for group in groups}
    return "users_on_both_sides" if len(held) == 2 else "validation" if held == {True} else "training"


def _origins_of(store: Store, table: str, rows: Sequence[Mapping[str, str]]) -> list[list[Origin]]:
    """Return the session and the user group of each trajectory that an example was made from, in the generation it was made from."""
    told: dict[tuple[str, str], dict[str, Origin]] = {}
    found = []
    for row in rows:
        named = (
            [(row["week"], row["trajectory_id"])]
            if table == SFT_EXAMPLES.name
            else [(row[f"{side}_week"], row[f"{side}_trajectory_id"]) for side in ("chosen", "rejected")]
        )
        for week, _ in named:
            if (row["week"], week) not in told:
                inputs = store.manifest(table, IsoWeek.parse(row["week"]))["inputs"]
                told[row["week"], week] = _read_origins(store, week, inputs.get(f"{TRAJECTORIES.name} {week}"))
        found.append([told[row["week"], week][trajectory_id] for week, trajectory_id in named])
    return found


def _read_origins(store: Store, week: str, generation: str | None) -> dict[str, Origin]:
    columns = ["trajectory_id", "session_id", "user_group"]
    rows = store.read(TRAJECTORIES.name, IsoWeek.parse(week), columns, generation)
    if set(columns) - set(rows.column_names):
        raise InputFailed(
            f"{TRAJECTORIES.name} {week}", "it was built before user groups were kept", f"memloop backfill {week}"
        )
    return {row["trajectory_id"]: (row["session_id"], row["user_group"]) for row in rows.to_pylist()}
