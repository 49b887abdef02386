"""Whose requests a simulation sends: tenants of a file, as gateways have them, and their shares."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from baton.cluster.traces.tenancy import check_names, share_of
from baton.core.errors import SettingsError
from gateway.tenants.tenant import NOBODY, Known, Tenant
from gateway.tenants.tenants_file import read_tenants


@dataclass(frozen=True, slots=True)
class SimulatedTenant:
    name: str
    share: float = 1.0  # of the requests, beside those of the others
    priority: int = 0  # of its requests; lower is earlier
    known: Known = NOBODY  # as a gateway knows whoever shows one of its keys


EVERYBODY = SimulatedTenant("all")


def tenants_of(said: Sequence[str], file: Path | None) -> tuple[SimulatedTenant, ...]:
    """`said`: NAME, NAME:SHARE or NAME:SHARE:PRIORITY each. Without any, all of the file in equal shares; without a
    file those named, without limits. Raises SettingsError.
    """
    named = [_named(text) for text in said]
    check_names(named)
    if file is None:
        return tuple(replace(one, known=_unlimited(one.name)) for one in named) or (EVERYBODY,)
    known = {one.tenant.name: one for one in read_tenants(file).values()}
    named = named or [SimulatedTenant(name) for name in known]
    for one in named:
        if one.name not in known:
            raise SettingsError(
                f"--tenant {one.name}: {file} has no such tenant, but {', '.join(known)}"
            )
    return tuple(replace(one, known=known[one.name]) for one in named)


def _named(text: str) -> SimulatedTenant:
    name, *rest = text.split(":")
    share = share_of(rest[0]) if rest else 1.0
    try:
        priority = int(rest[1]) if len(rest) > 1 else 0
    except ValueError:
        share = None
    if not name or share is None or len(rest) > 2:
        raise SettingsError(
            f"--tenant {text}: it is NAME, NAME:SHARE or NAME:SHARE:PRIORITY, where SHARE is greater "
            "than 0 and PRIORITY is a whole number"
        )
    return SimulatedTenant(name, share, priority)


def _unlimited(name: str) -> Known:
    return Known(Tenant(name), f"tenant:{name}")
