"""Where one prompt was read and answered, and what that took: the answer's `kv_transfer_params`."""

from dataclasses import dataclass

from gateway.call_events import ImagesPulled, MovedSegment, PrefixPulled, Transferred


@dataclass(slots=True)
class Reading:
    """Workers by their ids: those that gave the first tokens. What is None was not, or could not be
    told.
    """

    decode_worker: str | None  # None: only the prompt was read, for another router
    prefill_worker: str | None  # None: the decode worker read the prompt itself
    cached_tokens: int | None = None  # of the prompt
    transfer: Transferred | None = None
    prefix_from: str | None = None  # worker whose cache the prompt's beginning came from
    prefix: PrefixPulled | None = None  # what came from there
    encode_worker: str | None = None  # None: no images, or whoever read the prompt encoded them
    images: ImagesPulled | None = None  # what came from it
    reason: str | None = None  # of the placement, in a word
    failovers: int = 0  # what broke under the request and was made up for elsewhere
    moves: int = 0  # choices that a decode worker handed over, KV and all
    continued_on: tuple[str, ...] = ()  # decode workers that went on with the answer, in order
    remote: dict[str, object] | None = None  # all that such a router is told
    resume: str | None = None  # a handle to go on with the answer, if it was asked for and can


def told(reading: Reading | None) -> dict[str, object] | None:
    """Every key is always there."""
    if reading is None:
        return None
    if reading.remote is not None:
        return reading.remote  # it hands that on as it is
    moved, prefix, images = reading.transfer, reading.prefix, reading.images
    return {
        "prefill_worker": reading.prefill_worker,
        "decode_worker": reading.decode_worker,
        "cached_tokens": reading.cached_tokens,
        "reason": reading.reason,
        "prefix_from": reading.prefix_from if prefix else None,
        "prefix_tokens_moved": prefix.tokens if prefix else None,
        "prefix_ms": round(prefix.milliseconds, 3) if prefix else None,
        "encode_worker": reading.encode_worker,
        "images_moved": images.images if images else None,
        "image_bytes": images.bytes if images else None,
        "images_ms": round(images.milliseconds, 3) if images else None,
        "images_exposed_ms": round(images.exposed_ms, 3) if images else None,
        "transferred_bytes": moved.bytes if moved else None,
        "transferred_tokens": moved.tokens if moved else None,
        "decode_cached_tokens": moved.held_tokens if moved else None,
        "repaired_blocks": moved.repaired_blocks if moved else None,
        "transport": moved.transport if moved else None,
        "transfer_ms": round(moved.milliseconds, 3) if moved else None,
        "exposed_ms": round(moved.exposed_ms, 3) if moved else None,
        "computed_ms": round(moved.computed_ms, 3) if moved else None,
        "segments": [_segment(segment) for segment in moved.segments] if moved else None,
        "failovers": reading.failovers,
        "moves": reading.moves,
        "continued_on": list(reading.continued_on),
        "resume": reading.resume,
    }


def _segment(segment: MovedSegment) -> dict[str, object]:
    return {
        "blocks": [segment.first_block, segment.num_blocks],
        "ready_ms": round(segment.ready_ms, 3),
        "start_ms": round(segment.start_ms, 3),
        "end_ms": round(segment.end_ms, 3),
    }
