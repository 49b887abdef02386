"""What workers say on the calls of a request, as the gateway reads it."""

from dataclasses import dataclass

from baton.core.room import Room
from baton.core.token_record import PromptLogprobs, TokenRecord


@dataclass(frozen=True, slots=True)
class Reserved:
    """The decode worker has room."""

    room: Room | None  # what it has left, if it says so


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whoever reads the prompt has begun; KV of so many of its tokens was cached there."""

    num_cached_tokens: int
    kv_number: int = 0  # of the latest event of its cache by then


@dataclass(frozen=True, slots=True)
class Tokens:
    records: tuple[TokenRecord, ...]


@dataclass(frozen=True, slots=True)
class PromptScored:
    """Some of the prompt's log-probabilities, in order; all of them before the first tokens."""

    scores: PromptLogprobs


@dataclass(frozen=True, slots=True)
class MovedSegment:
    """When consecutive blocks moved; milliseconds since the first segment was ready."""

    first_block: int  # in the prompt
    num_blocks: int
    ready_ms: float
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Transferred:
    """The decode worker has the prompt's KV cache; before its first tokens."""

    bytes: int  # payload moved
    tokens: int  # whose KV was moved
    transport: str  # the data plane, such as "shm"
    milliseconds: float  # from the first ready segment to the confirmation
    exposed_ms: float  # from the end of prefill's computing to the confirmation
    computed_ms: float  # from the first ready segment to the end of prefill's computing
    segments: tuple[MovedSegment, ...]  # by their place in the prompt
    held_tokens: int = 0  # whose KV the decode worker had already
    repaired_blocks: int = 0  # moved again because their checksum was wrong


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Of this choice no token comes here any more: another worker has it."""

    choice: int


@dataclass(frozen=True, slots=True)
class Lent:
    """A choice that was to be handed over is stopped, and its blocks wait for the Pull."""


@dataclass(frozen=True, slots=True)
class Released:
    """The blocks went back."""

    confirmed: bool  # the other worker had them first


@dataclass(frozen=True, slots=True)
class PrefixPulled:
    """The prefill worker got the prompt's beginning from another one; before it is admitted."""

    tokens: int  # whose KV was moved
    bytes: int  # payload moved
    transport: str  # the data plane, such as "shm"
    milliseconds: float  # for which the prompt waited


@dataclass(frozen=True, slots=True)
class ImagesPulled:
    """Whoever reads the prompt has its images from an encode worker; before it is admitted."""

    images: int  # whose embeddings were moved; the others were there
    bytes: int  # payload moved
    transport: str  # the data plane, such as "shm"; empty where nothing moved
    milliseconds: float  # for which the prompt waited, the encoding included
    exposed_ms: float  # of them, those behind the end of the encoding


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encode worker is done with a request's images."""

    images: int
    cached_images: int  # of them, those that it had kept
    milliseconds: float  # that the others took


@dataclass(frozen=True, slots=True)
class Vacated:
    """The decode worker has ended the answer; its room is others' now."""

    room: Room | None  # what there is, if it says so


ReadEvent = Admitted | PrefixPulled | ImagesPulled | PromptScored
LendEvent = Lent | Encoded | Released
CallEvent = Reserved | ReadEvent | Tokens | Transferred | HandedOver | Vacated | LendEvent
