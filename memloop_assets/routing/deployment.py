"""What serves: the champion, and beside it, while a canary runs, an accepted challenger for a share of the sessions.

Here: who serves a session, and with which probability an arm is chosen over that. Not here: how a router chooses (``router``),
whether a canary starts or ends (the promotion room). numpy and the standard library only: agents import this.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memloop_assets.errors import BadInput
from memloop_assets.routing.router import Choice, Router


@dataclass(frozen=True, eq=False)
class Deployment:
    """The champion, and the canary with its share (0 to 1) of the sessions, where one runs."""

    champion: Router
    canary: Router | None = None
    share: float = 0.0

    def choose(
        self,
        text: str,
        *,
        session: str | None = None,
        arms: Sequence[str] | None = None,
        domain: str | None = None,
        draw: float | None = None,
    ) -> Choice:
        """Return the choice of the router that serves this session; its ``policy_version`` says which one that was.

        ``session``: the session id as it is logged; the same one is always served by the same router. Without one the champion serves.
        The other arguments are those of ``Router.choose``; of ``arms`` each router takes those that it knows, and where the canary
        knows none the champion serves. ``propensity`` is the exact probability of the arm over sessions and draws: while a canary
        runs and a session is given, (1 - share) times the champion's plus share times the canary's. Raises BadInput as
        ``Router.choose`` does.
        """
        if self.canary is None or session is None:
            return self.champion.choose(text, arms, domain=domain, draw=draw)
        of_champion, of_canary = self._known_arms(arms)
        if of_canary == []:
            return self.champion.choose(text, of_champion, domain=domain, draw=draw)
        explores = draw is not None
        if self.is_canary(session):
            choice = self.canary.choose(text, of_canary, domain=domain, draw=draw)
            other = self.champion.propensities(text, of_champion, domain=domain, explores=explores)
            return self._mixed(choice, other.get(choice.arm, 0.0), choice.propensity)
        choice = self.champion.choose(text, of_champion, domain=domain, draw=draw)
        other = self.canary.propensities(text, of_canary, domain=domain, explores=explores)
        return self._mixed(choice, choice.propensity, other.get(choice.arm, 0.0))

    def is_canary(self, session: str) -> bool:
        """Tell whether the canary serves a session: by a hash of its id and the canary's version, so each canary draws anew."""
        if self.canary is None:
            return False
        digest = hashlib.sha256(f"{self.canary.version}\x00{session}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8]) / 2**64 < self.share

    def _mixed(self, choice: Choice, of_champion: float, of_canary: float) -> Choice:
        return replace(choice, propensity=(1.0 - self.share) * of_champion + self.share * of_canary)

    def _known_arms(self, arms: Sequence[str] | None) -> tuple[list[str] | None, list[str] | None]:
        """Return which of the arms that can serve now champion and canary know; raises BadInput for one that neither does."""
        if arms is None or self.canary is None:
            return None, None
        unknown = [arm for arm in arms if arm not in self.champion.arms and arm not in self.canary.arms]
        if unknown:
            known = sorted({*self.champion.arms, *self.canary.arms})
            raise BadInput(
                "arms", f"{unknown[0]!r} is known to neither champion nor canary", f"choose among {', '.join(known)}"
            )
        return [arm for arm in arms if arm in self.champion.arms], [arm for arm in arms if arm in self.canary.arms]
