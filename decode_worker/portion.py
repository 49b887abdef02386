"""How much of what an answer has to tell goes into one message.

A reader that was slow for long gets it in several. gRPC refuses a message of more than 64 MiB, which would
break a stream, and with it whatever else is told there.
"""

from collections import deque
from typing import TypeVar

from baton.engine.work import EngineEvent, PromptScored, TokensDrawn
from baton.v1 import decode_pb2 as pb

# Token ids, each of them with its log-probability where these are asked for: 12 bytes at most.
MOST = 1 << 18

T = TypeVar("T", bound=EngineEvent | pb.GenerateResponse)


def take_portion(waiting: deque[T], most: int) -> tuple[list[T], int]:
    """Takes the first ones, at least one, until they are `most` token ids or more; and how many those are."""
    taken = [waiting.popleft()]
    size = _size(taken[0])
    while waiting and size < most:
        taken.append(waiting.popleft())
        size += _size(taken[-1])
    return taken, size


def _size(one: EngineEvent | pb.GenerateResponse) -> int:
    if isinstance(one, TokensDrawn):
        tops = [len(r.logprobs.top) for r in one.records if r.logprobs is not None]
        return len(one.records) + sum(tops)
    if isinstance(one, PromptScored):
        return sum([1 + len(entry.top) for entry in one.scores.entries])
    return 1
