"""What an agent's process imports: load the champion, ask it which arm serves a task.

Needs numpy and the standard library only, reads two small files, writes nothing.

    from memloop_assets.client import load_champion

    router = load_champion("path/to/home/data")
    choice = router.choose("Convert 12 inches to centimetres")
    choice.arm, choice.reason
"""

import json
from pathlib import Path

from memloop_assets.errors import BadCheckpoint
from memloop_assets.routing.checkpoint import checkpoint_digest, load_checkpoint
from memloop_assets.routing.router import Choice, Router

__all__ = ["Choice", "Router", "load_champion"]


def load_champion(data: Path | str) -> Router:
    """Return the champion of a data home (the folder that holds ``champion.json``), every byte verified.

    Raises BadCheckpoint where there is no champion yet, or where it is not what was promoted.
    """
    folder = Path(data)
    path = folder / "champion.json"
    try:
        facts = json.loads(path.read_bytes())
        version, digest = str(facts["version"]), str(facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(
            "champion.json",
            f"it cannot be read in {folder} ({error})",
            "run `memloop backfill` first, and give the folder that holds champion.json (data below the home)",
        ) from error
    versions = folder / "router-versions"
    if checkpoint_digest(versions, version) != digest:
        raise BadCheckpoint(
            f"champion {version}", "its checkpoint is not the one promoted", "restore it, or materialise champion again"
        )
    return load_checkpoint(versions, version)
