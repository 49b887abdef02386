"""Signed handles by which an answer that was cut off goes on: all that a gateway needs for it.

No gateway keeps anything between the two requests; whoever has the cluster's secret opens what
another one has signed. A handle is good for one tenant, one model and one request's words.
"""

import base64
import binascii
import hmac
import json
import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256

from gateway.told_so_far import ToldSoFar
from gateway.wishes import wrong

_PURPOSE = b"baton resume handle 1"  # a signature for something else is none for this
_SIGNATURE = 32  # bytes, before the body
LONGEST = 8 << 20  # characters


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
        """`seconds` a handle is good for. Without a secret only this process opens its handles."""
        self._key = secret.encode() or secrets.token_bytes(32)
        self._seconds = seconds
        self._clock = clock

    def sign(self, begun: Begun, tenant: str) -> str:
        content = {**asdict(begun), "until": round(self._clock() + self._seconds)}
        body = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
        return base64.urlsafe_b64encode(self._signature(body, tenant) + body).decode()

    def open(self, handle: str, tenant: str) -> Begun:
        """Raises RequestError for one that this cluster has not given to this tenant, or that has
        expired.
        """
        try:
            raw = base64.b64decode(handle.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise wrong("resume", "this is no handle of this cluster's") from error
        shown, body = raw[:_SIGNATURE], raw[_SIGNATURE:]
        if not hmac.compare_digest(shown, self._signature(body, tenant)):
            raise wrong("resume", "this is no handle of this cluster's, or it is another tenant's")
        content = json.loads(zlib.decompress(body))
        if self._clock() >= content.pop("until"):
            raise wrong("resume", "the handle has expired")
        told = content.pop("told")
        told["calls"] = tuple(told["calls"])
        return Begun(**{**content, "tokens": tuple(content["tokens"]), "told": ToldSoFar(**told)})

    def _signature(self, body: bytes, tenant: str) -> bytes:
        # The tenant's length keeps its bytes apart from the body's.
        named = tenant.encode()
        parts = (_PURPOSE, len(named).to_bytes(4, "big"), named, body)
        return hmac.digest(self._key, b"".join(parts), "sha256")


def digest_of(*words: str) -> str:
    """Of all that decides about an answer's text besides its seed and its length."""
    return sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
