"""Which tokens are reasoning."""

from baton.core.token_record import TokenRecord


class Spans:
    """Tokens with their places in the text, until the end of the reasoning is known. A token is
    reasoning if nothing of it stands behind that end; the tags belong to the reasoning.
    """

    def __init__(self, show: bool) -> None:
        """`show`: tokens of the reasoning are shown too, so that none has to wait."""
        self._show = show
        self._waiting: list[tuple[TokenRecord, int, int]] = []
        self.settled = False
        self.inside = 0  # tokens of the reasoning, once settled

    def add(self, record: TokenRecord, start: int, end: int) -> list[TokenRecord]:
        """Those that can be shown now."""
        if self.settled:
            return [record]
        self._waiting.append((record, start, end))
        return [record] if self._show else []

    def settle(self, boundary: int) -> list[TokenRecord]:
        """The reasoning ends before this character. Gives those that can be shown now."""
        outside = [r for r, start, end in self._waiting if not start < boundary >= end]
        self.inside += len(self._waiting) - len(outside)
        self._waiting = []
        self.settled = True
        return [] if self._show else outside
