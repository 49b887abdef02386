"""Ray itself: started here for one cluster alone, or joined; left as it was found."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
import ray.util
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from baton.cluster.ray.reaper import folder_of_ray
from baton.cluster.ray.settings import RaySettings, host_and_port
from baton.core.errors import SettingsError

T = TypeVar("T")

SYSTEM_CONFIG = {
    # Ray's defaults notice a dead node after 16 s and a hung one after 64.
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
    "worker_niceness": 0,  # Ray's default is 15: behind anything else on the machine
}
_OBJECT_STORE = 80 << 20  # bytes, nearly the least that Ray takes: nothing of ours goes through it
_TO_CONNECT = 5.0  # seconds
_OWNER = "baton-up"  # an actor that lives as long as its `baton up`: one for each namespace


class Owner:
    """Does nothing; that it is there keeps others out of the namespace."""


@dataclass(frozen=True, slots=True)
class RayRuntime:
    """Ray's calls block, so they are made in a thread of their own: always the same one, for Ray
    ends the processes that it has started when the thread ends that has started them.
    """

    joined: bool
    node_ip: str  # of this machine, as the Ray cluster knows it
    thread: ThreadPoolExecutor
    owner: Any  # handle of the `Owner`, which ends with its last handle; None where Ray is ours

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.thread, lambda: function(*args))


@asynccontextmanager
async def ray_runtime(settings: RaySettings, cpus: int) -> AsyncIterator[RayRuntime]:
    """Connected to Ray; `cpus` is what a Ray of our own shall have. Raises SettingsError."""
    own = nullcontext("") if settings.ray_address else folder_of_ray()
    with own as folder, ThreadPoolExecutor(1, "ray") as thread:
        loop = asyncio.get_running_loop()
        connecting = loop.run_in_executor(thread, _connect, settings, cpus, folder)
        try:
            owner = await asyncio.shield(connecting)
            _hear_again(signal.SIGTERM)
            node_ip = await loop.run_in_executor(thread, ray.util.get_node_ip_address)
            yield RayRuntime(bool(settings.ray_address), node_ip, thread, owner)
        finally:
            await asyncio.wait({connecting})
            await loop.run_in_executor(thread, ray.shutdown)


def _hear_again(number: signal.Signals) -> None:
    """Ray's own handler would print where each thread is before it asks ours."""
    signal.signal(number, signal.getsignal(number))
    signal.siginterrupt(number, False)  # as asyncio has it


def _connect(settings: RaySettings, cpus: int, folder: str) -> Any:
    """The handle of our `Owner`, if there must be one."""
    common: dict[str, Any] = {
        "namespace": settings.ray_namespace,
        "log_to_driver": False,
        "logging_level": "error",
    }
    if not settings.ray_address:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            _system_config=SYSTEM_CONFIG,
            **common,
        )
        return None
    try:
        _check_reachable(settings.ray_address)
        ray.init(address=settings.ray_address, **common)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"--ray-address {settings.ray_address}: this machine must be a node of a Ray cluster "
            f"(ray start --address HOST:PORT), and show its token: {reason}"
        ) from error
    return _owner_of(settings.ray_namespace)


def _check_reachable(address: str) -> None:
    """Raises OSError. Ray itself would try for a minute."""
    where = host_and_port(address)
    if where is not None:
        socket.create_connection(where, _TO_CONNECT).close()


def _owner_of(namespace: str) -> Any:
    """Raises SettingsError when another `baton up` has it; ends what a dead one has left there."""
    owner: Any = ray.remote(Owner)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    try:  # on this node: it shall not end with the death of another one
        handle = owner.options(
            name=_OWNER, num_cpus=0, max_restarts=-1, scheduling_strategy=here
        ).remote()
    except ValueError as error:
        raise SettingsError(
            f"another `baton up` has its workers in the namespace {namespace} of this Ray cluster; "
            "take another one with --ray-namespace"
        ) from error
    for name in ray.util.list_named_actors():
        if name != _OWNER:
            ray.kill(ray.get_actor(name))
    groups = ray.util.placement_group_table()
    for told in groups.values():
        if told["name"].startswith(group_prefix(namespace)) and told["state"] != "REMOVED":
            ray.util.remove_placement_group(ray.util.get_placement_group(told["name"]))
    return handle


def group_prefix(namespace: str) -> str:
    """Of the names of its placement groups."""
    return f"{namespace}/"
