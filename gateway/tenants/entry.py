"""One tenant as people write it: its fields read, checked, and written again."""

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from baton.registry.quota import Quota
from gateway.tenants.tenant import DEFAULT, Known, Tenant

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it stands in metrics and in Redis
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
_FIELDS = ("name", "keys", "key_sha256", "weight", *_LIMITS)


class WrongEntry(Exception):
    def __init__(self, place: str, complaint: str) -> None:
        super().__init__(f"{place} {complaint}")


@dataclass(frozen=True, slots=True)
class Entry:
    """`digests`: the SHA-256 of each of its keys, hex. The keys themselves are not kept."""

    tenant: Tenant
    digests: tuple[str, ...]

    @property
    def known(self) -> Known:
        return Known(self.tenant, f"tenant:{self.tenant.name}")

    def fields(self) -> dict[str, Any]:
        """As `read_entry` takes them; no key is in it."""
        tenant, quota = self.tenant, self.tenant.quota
        limits = {limit: getattr(quota, limit) for limit in _LIMITS}
        told = {limit: value for limit, value in limits.items() if value is not None}
        digests = [*self.digests]
        return {"name": tenant.name, "key_sha256": digests, "weight": tenant.weight, **told}


def read_entry(entry: Any, place: str, taken: Collection[str] = ()) -> Entry:
    """`place`: the path to it, for complaints. `taken`: digests that others have. Raises WrongEntry."""
    if not isinstance(entry, dict):
        raise WrongEntry(place, "must have fields, such as `name:` and `keys:`")
    for field in entry:
        if field not in _FIELDS:
            raise WrongEntry(f"{place}.{field}", f"is unknown; there are {', '.join(_FIELDS)}")
    tenant = Tenant(
        _name(entry, place), _positive(entry, "weight", place) or 1.0, _quota(entry, place)
    )
    digests: list[str] = []
    for where, digest in _digests(entry, place):
        if digest in digests or digest in taken:
            raise WrongEntry(where, "is a key that stands there before")
        digests.append(digest)
    if not digests:
        raise WrongEntry(place, "has no keys; give it `keys:` or `key_sha256:`")
    return Entry(tenant, tuple(digests))


def _name(entry: Mapping[str, Any], place: str) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise WrongEntry(
            f"{place}.name",
            "must be up to 64 letters, digits, dots, dashes or underscores, the first of them a letter or a digit",
        )
    if name == DEFAULT.name:
        raise WrongEntry(f"{place}.name", f"{name!r} is for the keys of --api-key")
    return name


def _quota(entry: Mapping[str, Any], place: str) -> Quota:
    limits = {limit: _positive(entry, limit, place) for limit in _LIMITS}
    most = limits.pop("concurrent_requests")
    if most is not None and most != int(most):
        raise WrongEntry(f"{place}.concurrent_requests", "must be a whole number")
    return Quota(concurrent_requests=None if most is None else int(most), **limits)


def _positive(entry: Mapping[str, Any], field: str, place: str) -> float | None:
    value = entry.get(field)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise WrongEntry(f"{place}.{field}", "must be a positive number")
    return float(value)


def _digests(entry: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    """Where each stands, and itself."""
    for where, key in _texts(entry, "keys", place):
        yield where, hashlib.sha256(key.encode()).hexdigest()
    for where, digest in _texts(entry, "key_sha256", place):
        if not _DIGEST.fullmatch(digest.lower()):
            raise WrongEntry(where, "must be the SHA-256 of a key, 64 hexadecimal digits")
        yield where, digest.lower()


def _texts(entry: Mapping[str, Any], field: str, place: str) -> Iterator[tuple[str, str]]:
    values = entry.get(field)
    if values is None:
        return
    if not isinstance(values, list):
        raise WrongEntry(f"{place}.{field}", "must be a list")
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise WrongEntry(f"{place}.{field}[{index}]", "must be a text in quotes, not empty")
        yield f"{place}.{field}[{index}]", value
