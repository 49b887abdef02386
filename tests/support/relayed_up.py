"""`baton up` whose workers stand behind relays: they tell others the relays' ports.

`python -m tests.support.relayed_up PLACES WORDS...`: PLACES is JSON, the registry's port and by
worker id the words that its process gets besides its own.
"""

import json
import sys
from dataclasses import replace

from baton.cluster.child_process import Command
from baton.cluster.commands import up
from baton.cluster.launch_plan import LaunchPlan
from baton.core.worker_info import Role

PLACES = json.loads(sys.argv[1])


class RelayedPlan(LaunchPlan):
    __slots__ = ()

    def gateway(self, port: int, registry_port: int) -> Command:
        return super().gateway(port, PLACES["registry"])

    def worker(self, worker_id: str, role: Role, registry: str, slot: int) -> Command:
        command = super().worker(worker_id, role, registry, slot)
        return replace(command, argv=(*command.argv, *PLACES["words"][worker_id]))


if __name__ == "__main__":
    up.LaunchPlan = RelayedPlan  # type: ignore[attr-defined]
    up.up(sys.argv[2:])
