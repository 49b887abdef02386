"""Signed handles by which an answer that was cut off goes on: all that a gateway needs for it.

No gateway keeps anything between the two requests. A handle is good for one tenant, one model and
one request's words.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256

from gateway.handles.seal import Seal
from gateway.output.told_so_far import ToldSoFar
from gateway.placing.wishes import wrong


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer up to some token."""

    request_id: str  # that began it
    model: str  # digest of the model's weights
    words: str  # digest of prompt and parameters
    seed: int
    tokens: tuple[int, ...]
    told: ToldSoFar


class ResumeHandles:
    def __init__(self, secret: str, seconds: float, clock: Callable[[], float] = time.time) -> None:
        """`seconds` a handle is good for."""
        self._seal = Seal("baton resume handle 1", secret, seconds, clock)

    def sign(self, begun: Begun, tenant: str) -> str:
        return self._seal.close(asdict(begun), tenant)

    def open(self, handle: str, tenant: str) -> Begun:
        """Raises RequestError for one that this cluster has not given to this tenant, or that has
        expired.
        """
        try:
            content = self._seal.open(handle, tenant)
        except ValueError as error:
            raise wrong("resume", f"the handle {error}") from error
        told = content.pop("told")
        told["calls"] = tuple(told["calls"])
        return Begun(**{**content, "tokens": tuple(content["tokens"]), "told": ToldSoFar(**told)})


def digest_of(*words: str) -> str:
    """Of all that decides about an answer's text besides its seed and its length."""
    return sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
