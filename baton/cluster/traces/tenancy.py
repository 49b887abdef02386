"""Whose the requests of a trace are: tenants have shares of them. Pure."""

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

from baton.cluster.traces.trace import TraceRequest
from baton.core.errors import SettingsError


class Sharer(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def share(self) -> float:
        """Of the requests, beside those of the others."""
        ...


S = TypeVar("S", bound=Sharer)


def share_of(text: str) -> float | None:
    """None: it is none."""
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share < float("inf") else None


def check_names(tenants: Sequence[Sharer]) -> None:
    """Raises SettingsError when two have one name."""
    names = [tenant.name for tenant in tenants]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"--tenant {name} is there twice")


def shared_out(requests: Sequence[TraceRequest], tenants: Sequence[S], seed: int) -> list[S]:
    """Whose each request is; drawn by share. A conversation has one tenant."""
    draw = random.Random(f"tenants/{seed}")
    weights = list(accumulate(tenant.share for tenant in tenants))
    of_sessions: dict[int, S] = {}
    chosen: list[S] = []
    for request in requests:
        [tenant] = draw.choices(tenants, cum_weights=weights)
        if request.session is not None:
            tenant = of_sessions.setdefault(request.session, tenant)
        chosen.append(tenant)
    return chosen
