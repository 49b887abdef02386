"""What two workers must have in common before a KV cache may pass between them."""

import hashlib
from dataclasses import dataclass, fields

from baton.core.layout import LayoutDescriptor

PROTOCOL_VERSION = 2  # raised when the meaning of the hand-off changes


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digests are hex strings; `numeric_class` is empty unless bit-equality is promised."""

    protocol: int
    model_digest: str  # configuration and weights
    revision: str
    tokenizer_digest: str
    dtype: str  # of the computation, and what weights became for it if they were quantised at load
    layout: LayoutDescriptor
    rope_digest: str
    numeric_class: str = ""

    def digest(self) -> str:
        """SHA-256 over all fields, hex."""
        text = "\n".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))
        return hashlib.sha256(text.encode()).hexdigest()

    def difference(self, other: "Fingerprint") -> str | None:
        """A sentence naming what differs, None when the two may exchange KV caches."""
        mine, theirs = _named(self), _named(other)
        unequal = [
            f"{name} is {value!r} here and {theirs[name]!r} there"
            for name, value in mine.items()
            if value != theirs[name]
        ]
        return "; ".join(unequal) or None


def _named(fingerprint: Fingerprint) -> dict[str, object]:
    """All fields, those of the layout among them."""
    flat = {f.name: getattr(fingerprint, f.name) for f in fields(fingerprint)}
    layout = flat.pop("layout")
    return {**flat, **{f"layout.{f.name}": getattr(layout, f.name) for f in fields(layout)}}
