"""Whose requests a replay sends: API keys, and which share of the trace each of them has. Pure."""

from dataclasses import dataclass, field

from baton.cluster.traces.tenancy import share_of
from baton.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    key: str = field(default="", repr=False)
    share: float = 1.0  # of the requests, beside those of the others


def tenant_of(text: str) -> Tenant:
    """`name=key` or `name=key:share`. Raises SettingsError, without the key."""
    name, equals, rest = text.partition("=")
    key, colon, said = rest.rpartition(":")
    if not colon:
        key, said = rest, "1"
    share = share_of(said)
    if not (name and equals and key) or share is None:
        raise SettingsError(
            f"--tenant {name}...: it is NAME=KEY or NAME=KEY:SHARE, where SHARE is greater than 0"
        )
    return Tenant(name, key, share)
