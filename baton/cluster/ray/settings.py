"""The settings of `baton up --orchestrator ray`."""

from dataclasses import dataclass
from typing import Any

from baton.core.errors import SettingsError
from baton.settings import setting


@dataclass(frozen=True, slots=True)
class RaySettings:
    ray_address: str = setting(
        "",
        "Ray cluster to place the workers in: HOST:PORT of its head, or auto for the one that this "
        "machine is a node of (default: a Ray of this cluster's own, on this machine).",
    )
    ray_namespace: str = setting(
        "baton", "Where the workers' names are known in the Ray cluster; one for each `baton up`."
    )
    ray_prefill_resources: dict[str, Any] | None = setting(
        None,
        "What a prefill worker takes of a Ray node: JSON of Ray's names and numbers, such as "
        '{"CPU": 4, "GPU": 0.5} (default: its threads, and one GPU where nodes have some).',
    )
    ray_decode_resources: dict[str, Any] | None = setting(
        None, "What a decode worker takes of a Ray node, likewise."
    )
    ray_pack_pairs: bool = setting(
        True,
        "Place each decode worker on the node of a prefill worker where there is room, for KV caches "
        "travel faster inside a node.",
    )

    def check(self) -> None:
        """Raises SettingsError."""
        if not self.ray_namespace:
            raise SettingsError("--ray-namespace must be a name")
        if self.ray_address.startswith("ray://"):
            raise SettingsError(
                f"--ray-address {self.ray_address} is Ray's client protocol; make this machine a node "
                "of the Ray cluster (ray start --address HOST:PORT --num-cpus 0) and give auto"
            )
        if self.ray_address not in ("", "auto") and host_and_port(self.ray_address) is None:
            raise SettingsError(f"--ray-address {self.ray_address} must be auto or HOST:PORT")
        for role, resources in (
            ("prefill", self.ray_prefill_resources),
            ("decode", self.ray_decode_resources),
        ):
            _check(f"--ray-{role}-resources", resources)


def host_and_port(address: str) -> tuple[str, int] | None:
    """None where it is no HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        return None
    return host.strip("[]"), int(port)


def _check(flag: str, resources: dict[str, Any] | None) -> None:
    if resources is None:
        return
    for name, amount in resources.items():
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not number or not 0 <= amount < float("inf"):
            raise SettingsError(f"{flag}: {name} must be a number, 0 or more, not {amount!r}")
        if amount > 1 and amount != int(amount):
            raise SettingsError(f"{flag}: {name} {amount} must be whole, for it is more than one")
    if not any(resources.values()):
        raise SettingsError(f"{flag} names nothing: Ray places only who takes something")
