"""Whose requests a replay sends: API keys, and which share of the trace each of them has. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from baton.cluster.traces import TraceRequest
from baton.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    key: str = field(default="", repr=False)
    share: float = 1.0  # of the requests, beside those of the others


def tenant_of(text: str) -> Tenant:
    """`name=key` or `name=key:share`. Raises SettingsError, without the key."""
    name, equals, rest = text.partition("=")
    key, colon, share = rest.rpartition(":")
    if not colon:
        key, share = rest, "1"
    try:
        weight = float(share)
    except ValueError:
        weight = -1.0
    if not (name and equals and key) or not 0 < weight < float("inf"):
        raise SettingsError(
            f"--tenant {name}...: it is NAME=KEY or NAME=KEY:SHARE, where SHARE is greater than 0"
        )
    return Tenant(name, key, weight)


def check_names(tenants: Sequence[Tenant]) -> None:
    """Raises SettingsError when two have one name."""
    names = [tenant.name for tenant in tenants]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"--tenant {name} is there twice")


def shared_out(
    requests: Sequence[TraceRequest], tenants: Sequence[Tenant], seed: int
) -> list[Tenant]:
    """Whose each request is; drawn by share. A conversation has one tenant."""
    draw = random.Random(f"tenants/{seed}")
    weights = list(accumulate(tenant.share for tenant in tenants))
    of_sessions: dict[int, Tenant] = {}
    chosen: list[Tenant] = []
    for request in requests:
        [tenant] = draw.choices(tenants, cum_weights=weights)
        if request.session is not None:
            tenant = of_sessions.setdefault(request.session, tenant)
        chosen.append(tenant)
    return chosen
