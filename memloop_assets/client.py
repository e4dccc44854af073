"""What an agent's process imports: load what serves, ask it which arm serves a task.

Needs numpy and the standard library only, reads a few small files, writes nothing.

    from memloop_assets.client import load_deployment

    deployment = load_deployment("path/to/home/data")
    choice = deployment.choose("Convert 12 inches to centimetres", session="s-4711")
    choice.arm, choice.reason
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memloop_assets.errors import BadCheckpoint
from memloop_assets.routing.checkpoint import checkpoint_digest, load_checkpoint
from memloop_assets.routing.deployment import Deployment
from memloop_assets.routing.router import Choice, Router

__all__ = ["Choice", "Deployment", "Router", "load_champion", "load_deployment"]


def load_deployment(data: Path | str) -> Deployment:
    """Return what serves in a data home (the folder that holds ``champion.json``): the champion, and a canary where one runs.

    Every byte is verified. Raises BadCheckpoint where there is no champion yet, or where either is not what was published.
    """
    facts = _read_pointer(Path(data))
    champion, canary = _load(Path(data), "champion", facts), facts.get("canary")
    if canary is None:
        return Deployment(champion)
    try:
        share, _ = float(canary["share"]), (canary["version"], canary["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(Path(data), f"(its canary makes no sense: {error!r})") from error
    if not 0.0 < share < 1.0:
        raise _unreadable(Path(data), f"(its canary makes no sense: a share of {share})")
    return Deployment(champion, _load(Path(data), "canary", canary), share)


def load_champion(data: Path | str) -> Router:
    """Return the champion alone, every byte verified: to look at it, or to serve it whatever canary runs.

    Raises BadCheckpoint where there is no champion yet, or where it is not what was promoted.
    """
    return _load(Path(data), "champion", _read_pointer(Path(data)))


def _read_pointer(folder: Path) -> Mapping[str, Any]:
    try:
        facts: Mapping[str, Any] = json.loads((folder / "champion.json").read_bytes())
        _ = facts["version"], facts["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, f"({error})") from error
    return facts


def _load(folder: Path, role: str, facts: Mapping[str, Any]) -> Router:
    """Return the router of a version with its digest, each byte verified."""
    versions, version = folder / "router-versions", str(facts["version"])
    if checkpoint_digest(versions, version) != str(facts["sha256"]):
        raise BadCheckpoint(
            f"{role} {version}",
            "its checkpoint is not the one that champion.json names",
            "restore it, or materialise champion again",
        )
    return load_checkpoint(versions, version)


def _unreadable(folder: Path, why: str) -> BadCheckpoint:
    return BadCheckpoint(
        "champion.json",
        f"it cannot be read in {folder} {why}",
        "run `memloop backfill` first, and give the folder that holds champion.json (data below the home)",
    )
