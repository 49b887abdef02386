"""What has come of a move, as it is counted."""

from enum import Enum


class MoveResult(Enum):
    MOVED = "moved"  # the other worker has its KV and goes on
    REFUSED = "refused"  # it stays where it is, as if nobody had asked
    FAILED = "failed"  # it left and did not arrive: it goes on from what was told
