"""Why a hand-off has ended, where another call of the same attempt knows better."""

import logging
from collections.abc import Callable, Iterable

from baton.core.errors import BatonError, RequestError, TransferError, UnavailableError
from gateway.serving.leg import Broken, Ended, Leg, LegEvent, Letters

logger = logging.getLogger(__name__)


async def cause_of(
    error: TransferError,
    letters: Letters,
    sources: Iterable[Leg],
    note: Callable[[Leg, LegEvent], None],
    patience: float,
) -> BatonError:
    """A hand-off ends with the call of whoever has computed what it moves. If that ended by the
    client's fault, this must be told, and no other placement would do better. Its word may come a
    moment later, at most `patience` seconds. `note` hears all that the sources say.
    """
    awaited = set(sources)
    try:
        while awaited:
            leg, event = await letters.get(patience)
            if leg not in awaited:
                continue
            note(leg, event)
            match event:
                case Broken(RequestError() as fault):
                    return fault
                case Broken() | Ended():
                    awaited.remove(leg)
    except UnavailableError:
        logger.info("a hand-off ended without a cause: %s", error)
    return error
