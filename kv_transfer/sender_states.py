"""The states of one hand-off on the prefill side; docs/hand-off.md says what each means."""

from enum import Enum


class SenderState(Enum):
    NEW = "new"
    AWAITED = "awaited"
    COMPUTING = "computing"
    PULLED = "pulled"
    READY = "ready"
    SENT = "sent"
    CONFIRMED = "confirmed"
    ABORTED = "aborted"
    EXPIRED = "expired"


S = SenderState
TERMINAL = frozenset({S.CONFIRMED, S.ABORTED, S.EXPIRED})
MOVES: dict[SenderState, frozenset[SenderState]] = {
    S.NEW: frozenset({S.AWAITED, S.COMPUTING}),
    S.AWAITED: frozenset({S.NEW, S.COMPUTING}),
    S.COMPUTING: frozenset({S.PULLED, S.READY, S.ABORTED}),
    S.PULLED: frozenset({S.SENT, S.ABORTED}),
    S.READY: frozenset({S.SENT, S.ABORTED, S.EXPIRED}),
    S.SENT: frozenset({S.CONFIRMED, S.ABORTED, S.EXPIRED}),
    S.CONFIRMED: frozenset(),
    S.ABORTED: frozenset(),
    S.EXPIRED: frozenset(),
}
