"""The file of --tenants-file: who may ask, and how much."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from baton.core.errors import SettingsError
from baton.registry.quota import Quota
from gateway.tenants.tenant import DEFAULT, Known, Tenant

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it stands in metrics and in Redis
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
_FIELDS = ("name", "keys", "key_sha256", "weight", *_LIMITS)


def read_tenants(path: Path) -> dict[str, Known]:
    """By the SHA-256 of a key, hex. Raises SettingsError with the path to what is wrong."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"--tenants-file {path} cannot be read: {reason}") from error
    try:
        return _known(content)
    except _WrongError as error:
        raise SettingsError(f"--tenants-file {path}: {error}") from error


class _WrongError(Exception):
    def __init__(self, place: str, complaint: str) -> None:
        super().__init__(f"{place} {complaint}")


def _known(content: Any) -> dict[str, Known]:
    if not isinstance(content, dict) or content.keys() != {"tenants"}:
        raise _WrongError("the file", "must have one key, `tenants:`, with a list below it")
    tenants = content["tenants"]
    if not isinstance(tenants, list) or not tenants:
        raise _WrongError("tenants", "must be a list of at least one tenant")
    known: dict[str, Known] = {}
    names: set[str] = set()
    for index, entry in enumerate(tenants):
        place = f"tenants[{index}]"
        tenant = _tenant(entry, place)
        if tenant.name in names:
            raise _WrongError(f"{place}.name", f"{tenant.name!r} is another tenant's as well")
        names.add(tenant.name)
        for where, digest in _digests(entry, place):
            if digest in known:
                raise _WrongError(where, "is a key that stands in the file before")
            known[digest] = Known(tenant, f"tenant:{tenant.name}")
    return known


def _tenant(entry: Any, place: str) -> Tenant:
    if not isinstance(entry, dict):
        raise _WrongError(place, "must have fields, such as `name:` and `keys:`")
    for field in entry:
        if field not in _FIELDS:
            raise _WrongError(f"{place}.{field}", f"is unknown; there are {', '.join(_FIELDS)}")
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _WrongError(
            f"{place}.name",
            "must be up to 64 letters, digits, dots, dashes or underscores, the first of them a letter or a digit",
        )
    if name == DEFAULT.name:
        raise _WrongError(f"{place}.name", f"{name!r} is for the keys of --api-key")
    weight = _positive(entry, "weight", place)
    limits = {limit: _positive(entry, limit, place) for limit in _LIMITS}
    most = limits.pop("concurrent_requests")
    if most is not None and most != int(most):
        raise _WrongError(f"{place}.concurrent_requests", "must be a whole number")
    quota = Quota(concurrent_requests=None if most is None else int(most), **limits)
    return Tenant(name, 1.0 if weight is None else weight, quota)


def _positive(entry: Mapping[str, Any], field: str, place: str) -> float | None:
    value = entry.get(field)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise _WrongError(f"{place}.{field}", "must be a positive number")
    return float(value)


def _digests(entry: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    """Where each stands, and itself. The keys themselves are not kept."""
    found = False
    for where, key in _texts(entry, "keys", place):
        found = True
        yield where, hashlib.sha256(key.encode()).hexdigest()
    for where, digest in _texts(entry, "key_sha256", place):
        found = True
        if not _DIGEST.fullmatch(digest.lower()):
            raise _WrongError(where, "must be the SHA-256 of a key, 64 hexadecimal digits")
        yield where, digest.lower()
    if not found:
        raise _WrongError(place, "has no keys; give it `keys:` or `key_sha256:`")


def _texts(entry: Mapping[str, Any], field: str, place: str) -> Iterator[tuple[str, str]]:
    values = entry.get(field)
    if values is None:
        return
    if not isinstance(values, list):
        raise _WrongError(f"{place}.{field}", "must be a list")
    for index, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise _WrongError(f"{place}.{field}[{index}]", "must be a text in quotes, not empty")
        yield f"{place}.{field}[{index}]", value
