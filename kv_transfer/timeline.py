"""When each part of one hand-off happened, as the receiver saw it. Pure: times come in as numbers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmentTiming:
    """Milliseconds since the first segment was named."""

    first_block: int  # in the prompt
    num_blocks: int
    ready_ms: float  # it was named
    start_ms: float  # its first byte was asked for
    end_ms: float  # its last byte had landed and was found right


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds; all but `exposed_ms` since the first segment was named."""

    total_ms: float  # until the confirmation
    computed_ms: float  # until the sender said that everything was computed
    exposed_ms: float  # from there to the confirmation: what the client waited for the transfer
    segments: tuple[SegmentTiming, ...]  # by their place in the prompt


@dataclass(slots=True)
class _Segment:
    num_blocks: int
    ready: float
    start: float | None = None
    end: float | None = None


class Timeline:
    """Tell it what happens, in seconds on one clock that never goes back; ask `timing` at the end."""

    def __init__(self) -> None:
        self._segments: dict[int, _Segment] = {}  # by their first block in the prompt
        self._computed: float | None = None

    def named(self, first_block: int, num_blocks: int, at: float) -> None:
        """The first word on a segment counts; the machine refuses a second one."""
        self._segments.setdefault(first_block, _Segment(num_blocks, at))

    def read(self, first_block: int, start: float, end: float) -> None:
        """A segment that is read again began with its first read and ends with its last one."""
        segment = self._segments[first_block]
        segment.start = start if segment.start is None else segment.start
        segment.end = end

    def computed(self, at: float) -> None:
        if self._computed is None:
            self._computed = at

    def timing(self, confirmed: float) -> Timing:
        """Of a hand-off that was confirmed. What was not read is no part of it."""
        begin = min((s.ready for s in self._segments.values()), default=confirmed)
        computed = confirmed if self._computed is None else self._computed

        def since(at: float) -> float:
            return (at - begin) * 1000

        return Timing(
            total_ms=since(confirmed),
            computed_ms=since(computed),
            exposed_ms=(confirmed - computed) * 1000,
            segments=tuple(
                SegmentTiming(first, s.num_blocks, since(s.ready), since(s.start), since(s.end))
                for first, s in sorted(self._segments.items())
                if s.start is not None and s.end is not None
            ),
        )
