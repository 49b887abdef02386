"""What the tests of a cluster that is being broken have in common."""

import random
from pathlib import Path

from baton.engine.hash_model import HashModelConfig, parse_hash_config
from tests.support.chaos import Crowd, End, drawn
from tests.support.cluster import RunningCluster
from tests.support.cluster_state import nothing_is_held
from tests.support.residue import Residue, residue_of

AT_ONCE = 16
BOUND = 70.0  # seconds: the longest wait for room, and some


async def nothing_grows(cluster: RunningCluster, model: Path, rng: random.Random) -> None:
    """More requests, more clients that leave: no process has more descriptors or threads than
    after the first of them.
    """
    seen: list[dict[int, Residue]] = []
    for _ in range(3):
        crowd = crowd_of(cluster, model)
        await crowd.ask([drawn(rng) for _ in range(2 * AT_ONCE)], AT_ONCE)
        assert crowd.wrong == []
        assert set(crowd.ends) <= {End.ANSWER, End.LEFT}
        await nothing_is_held(cluster)
        seen.append({pid: residue_of(pid) for pid in cluster.processes()})
    first, _, last = seen
    grown = {pid: (first[pid], last[pid]) for pid in first if last[pid].exceeds(first[pid])}
    assert not grown


def crowd_of(cluster: RunningCluster, model: Path, bound: float = BOUND) -> Crowd:
    return Crowd(cluster.url, config_of(model), cluster.until_healthy, bound)


def config_of(model: Path) -> HashModelConfig:
    return parse_hash_config((model / "config.json").read_bytes(), str(model))


def drawn_rng() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)  # noqa: T201
    return random.Random(seed)
