"""What it costs to have a prompt read or its answer written somewhere; the lower, the better. Pure.

Costs of one role are compared with each other, first by their first term.
"""

Cost = tuple[float, float, float]


def prefill_cost(unread: int, uncached: int, requests: int) -> Cost:
    """In tokens to be computed before this prompt's answer begins: those that wait on the worker
    already, and those of this prompt that it has not cached. So a cached prefix draws requests only
    as long as the line behind it is shorter than computing it elsewhere.
    """
    return unread + uncached, requests, 0


def decode_cost(requests: int, uncached: int, kv_usage: float) -> Cost:
    """Every request in a batch slows all of its tokens down; what is cached saves only bytes moved,
    and decides among equals.
    """
    return requests, uncached, kv_usage
