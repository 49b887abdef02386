"""What one onlooker has not been told yet. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.json_text import to_json

CLOCK = "now"  # changes always, and is news to nobody
REQUESTS = "requests"


class Changes:
    """Told states one after the other, it gives what is new in each: keys whose values differ, and of
    the requests only those that differ. `shown` has the numbers of all that are to be seen, in order.
    """

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._requests: dict[int, str] | None = None

    def since(self, state: Mapping[str, Any]) -> dict[str, object] | None:
        """None: nothing is new."""
        rest = {key: value for key, value in state.items() if key not in (CLOCK, REQUESTS)}
        news = self._differing(rest) | self._new_requests(state[REQUESTS])
        return {CLOCK: state[CLOCK], **news} if news else None

    def _differing(self, state: dict[str, object]) -> dict[str, object]:
        written = {key: to_json(value) for key, value in state.items()}
        news = {key: state[key] for key in state if self._told.get(key) != written[key]}
        self._told = written
        return news

    def _new_requests(self, requests: list[dict[str, Any]]) -> dict[str, object]:
        before, first = self._requests or {}, self._requests is None
        now = {one["number"]: to_json(one) for one in requests}
        self._requests = now
        changed = [one for one in requests if before.get(one["number"]) != now[one["number"]]]
        news: dict[str, object] = {}
        if changed or first:
            news[REQUESTS] = changed
        if first or [*before] != [*now]:
            news["shown"] = [*now]
        return news
