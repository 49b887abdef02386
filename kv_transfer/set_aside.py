"""Data planes that broke amid a read: a probe of some bytes got through, but the blocks did not."""

from time import monotonic

SET_ASIDE_S = 60.0  # in which the plane is only taken where no other one works


class SetAside:
    """By peer, for a while each."""

    def __init__(self) -> None:
        self._until: dict[tuple[object, str], float] = {}

    def add(self, peer: object, transport: str) -> None:
        now = monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        self._until[peer, transport] = now + SET_ASIDE_S

    def of(self, peer: object) -> frozenset[str]:
        """The transports that are set aside now."""
        now = monotonic()
        return frozenset(
            name for (of, name), end in self._until.items() if of == peer and end > now
        )
