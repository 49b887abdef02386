"""Somebody who has API keys, a share and limits."""

from dataclasses import dataclass

from baton.registry.quota import UNLIMITED, Quota


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    weight: float = 1.0  # of its share of tokens, against other tenants
    quota: Quota = UNLIMITED


# Whoever shows a key of --api-key, or anybody where none is asked for.
DEFAULT = Tenant("default")


@dataclass(frozen=True, slots=True)
class Known:
    """Who showed a key. `root` begins the hashes of its blocks: who differs in it shares no cached
    prefix.
    """

    tenant: Tenant
    root: str


NOBODY = Known(DEFAULT, "")
