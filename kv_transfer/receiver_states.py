"""The states of one hand-off on the decode side; docs/hand-off.md says what each means."""

from enum import Enum


class ReceiverState(Enum):
    RESERVED = "reserved"
    OPENING = "opening"
    RECEIVING = "receiving"
    CONFIRMING = "confirming"
    DONE = "done"
    ABORTING = "aborting"
    FAILED = "failed"


R = ReceiverState
TERMINAL = frozenset({R.DONE, R.FAILED})
MOVES: dict[ReceiverState, frozenset[ReceiverState]] = {
    R.RESERVED: frozenset({R.OPENING, R.ABORTING}),
    R.OPENING: frozenset({R.RECEIVING, R.ABORTING}),
    R.RECEIVING: frozenset({R.CONFIRMING, R.ABORTING}),
    R.CONFIRMING: frozenset({R.DONE, R.ABORTING}),
    R.ABORTING: frozenset({R.FAILED}),
    R.DONE: frozenset(),
    R.FAILED: frozenset(),
}
