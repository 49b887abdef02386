"""When who has waited longest goes first, whatever its priority, so that nobody starves."""

OLDEST_EVERY = 16


def is_turn_of_the_oldest(count: int) -> bool:
    """Of what is numbered from 0: the last of every `OLDEST_EVERY`."""
    return count % OLDEST_EVERY == OLDEST_EVERY - 1
