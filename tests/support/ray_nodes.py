"""A Ray cluster of two machines: two networks on a cable, a node of Ray in each."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from baton.cluster.ray.runtime import SYSTEM_CONFIG
from tests.support.namespaces import Namespace, join, namespace

HEAD, OTHER = "10.77.0.1", "10.77.0.2"
ADDRESS = f"{HEAD}:6379"
ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "5ec2e7" * 8,
    "RAY_USAGE_STATS_ENABLED": "0",
}
_RAY = Path(sys.executable).with_name("ray")
_EACH = ("--num-cpus=4", "--object-store-memory=83886080", "--disable-usage-stats")
_NAMED = """
import json, ray, ray.util
ray.init(address="{address}", namespace="{namespace}", logging_level="error")
living = [told for told in ray.util.placement_group_table().values() if told["state"] != "REMOVED"]
print(json.dumps([ray.util.list_named_actors(), [told["name"] for told in living]]))
"""


@dataclass(frozen=True, slots=True)
class RayNodes:
    head: Namespace
    other: Namespace
    folder: str

    def start_head(self, resources: dict[str, float]) -> None:
        self._start(
            *(self.head, resources, "--head", "--port=6379", f"--node-ip-address={HEAD}"),
            *(f"--temp-dir={self.folder}", "--include-dashboard=false"),
            f"--system-config={json.dumps(SYSTEM_CONFIG)}",
        )

    def start_other(self, resources: dict[str, float]) -> None:
        self._start(
            *(self.other, resources, f"--address={ADDRESS}", f"--node-ip-address={OTHER}"),
        )

    async def left_in(self, name: str) -> tuple[list[str], list[str]]:
        """Actors and placement groups of a namespace of Ray's, by their names."""
        process = await asyncio.create_subprocess_exec(
            *self.head.prefix,
            *(sys.executable, "-c", _NAMED.format(address=ADDRESS, namespace=name)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
        )
        stdout, _ = await asyncio.wait_for(process.communicate(), 30)
        actors, groups = json.loads(stdout)
        return actors, groups

    def _start(self, where: Namespace, resources: dict[str, float], *words: str) -> None:
        subprocess.run(
            [
                *where.prefix,
                *(str(_RAY), "start", *words, *_EACH, f"--resources={json.dumps(resources)}"),
            ],
            check=True,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )


@contextlib.contextmanager
def ray_nodes() -> Iterator[RayNodes]:
    """None of them started; at the end all that runs there is killed."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short, for Ray's sockets are in it
    try:
        with namespace() as head, namespace() as other:
            join(head, other, (HEAD, OTHER))
            yield RayNodes(head, other, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
