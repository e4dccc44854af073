"""What a run says of itself in its tags: its weeks, and whether it is a dry run."""

from collections.abc import Mapping

from memloop_assets.weeks import IsoWeek, weeks_between

DRY_RUN_TAG = "memloop/dry_run"

_PARTITION = "dagster/partition"
_FIRST, _LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def range_tags(first: IsoWeek, last: IsoWeek) -> dict[str, str]:
    """Return the tags under which one run takes a range of weeks, in order."""
    return {_FIRST: first.key, _LAST: last.key}


def weeks_of_run(tags: Mapping[str, str]) -> list[IsoWeek]:
    """Return the weeks of a run, in order; none for a run without partitions."""
    first = tags.get(_FIRST) or tags.get(_PARTITION)
    last = tags.get(_LAST) or first
    return list(weeks_between(IsoWeek.parse(first), IsoWeek.parse(last))) if first and last else []
