"""What one onlooker has not been told yet. Pure."""

from collections.abc import Mapping
from typing import Any

CLOCK = "now"  # changes always, and is news to nobody
REQUESTS = "requests"


class Changes:
    """Told states one after the other, it gives what is new in each: keys whose values differ, and of
    the requests only those that differ. `shown` has the numbers of all that are to be seen, in order.
    """

    def __init__(self) -> None:
        self._told: dict[str, Any] = {}
        self._requests: dict[int, dict[str, Any]] | None = None

    def since(self, state: Mapping[str, Any]) -> dict[str, object] | None:
        """None: nothing is new. States are kept to compare with, and must not be changed later."""
        rest = {key: value for key, value in state.items() if key not in (CLOCK, REQUESTS)}
        news = {k: v for k, v in rest.items() if k not in self._told or self._told[k] != v}
        self._told = rest
        news |= self._new_requests(state[REQUESTS])
        return {CLOCK: state[CLOCK], **news} if news else None

    def _new_requests(self, requests: list[dict[str, Any]]) -> dict[str, object]:
        before, first = self._requests or {}, self._requests is None
        self._requests = {one["number"]: one for one in requests}
        changed = [one for one in requests if before.get(one["number"]) != one]
        news: dict[str, object] = {}
        if changed or first:
            news[REQUESTS] = changed
        if first or [*before] != [*self._requests]:
            news["shown"] = [*self._requests]
        return news
