"""Texts that a gateway gives to clients and takes back: signed, for one tenant, for a time."""

import base64
import binascii
import hmac
import json
import secrets
import time
import zlib
from collections.abc import Callable
from typing import Any

_SIGNATURE = 32  # bytes, before the body


class Seal:
    """Whoever has the cluster's secret opens what another one has closed for the same purpose. The
    contents can be read by all, and made by nobody else.
    """

    def __init__(
        self, purpose: str, secret: str, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        """`seconds` it holds. Without a secret only this process opens what it has closed."""
        self._purpose = purpose.encode()
        self._key = secret.encode() or secrets.token_bytes(32)
        self._seconds = seconds
        self._clock = clock

    def close(self, content: dict[str, Any], tenant: str) -> str:
        """`content` as JSON has it; `until` is taken."""
        told = {**content, "until": round(self._clock() + self._seconds)}
        body = zlib.compress(json.dumps(told, separators=(",", ":")).encode())
        return base64.urlsafe_b64encode(self._signature(body, tenant) + body).decode()

    def open(self, text: str, tenant: str) -> dict[str, Any]:
        """Raises ValueError, with what is wrong as the rest of a sentence."""
        try:
            raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("is none of this cluster's") from error
        shown, body = raw[:_SIGNATURE], raw[_SIGNATURE:]
        if not hmac.compare_digest(shown, self._signature(body, tenant)):
            raise ValueError("is none of this cluster's, or another tenant's")
        content: dict[str, Any] = json.loads(zlib.decompress(body))
        if self._clock() >= content.pop("until"):
            raise ValueError("has expired")
        return content

    def _signature(self, body: bytes, tenant: str) -> bytes:
        # The lengths keep the parts apart.
        named = tenant.encode()
        parts = (self._purpose, b"\0", len(named).to_bytes(4, "big"), named, body)
        return hmac.digest(self._key, b"".join(parts), "sha256")
