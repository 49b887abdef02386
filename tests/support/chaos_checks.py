"""What the tests of a cluster that is being broken have in common."""

import random
from collections.abc import Mapping
from pathlib import Path

from baton.engine.runners.hash_model import HashModelConfig, parse_hash_config
from tests.support.chaos import Crowd, End, drawn
from tests.support.cluster import RunningCluster
from tests.support.cluster_state import nothing_is_held
from tests.support.residue import Residue, residue_of

AT_ONCE = 16
CROWDS = 8  # at most: as many as there are ordered pairs of workers, and some
BOUND = 70.0  # seconds: the longest wait for room, and some


async def nothing_grows(cluster: RunningCluster, model: Path, rng: random.Random) -> None:
    """More requests, more clients that leave: descriptors and threads of every process come to rest.

    A worker's link to another one is opened when it first pulls from it, and stays; so a few crowds
    may each find one more, and altogether no more than there are workers. What leaks grows with
    every crowd.
    """
    seen: list[dict[int, Residue]] = []
    for _ in range(CROWDS):
        crowd = crowd_of(cluster, model)
        await crowd.ask([drawn(rng) for _ in range(2 * AT_ONCE)], AT_ONCE)
        assert crowd.wrong == []
        assert set(crowd.ends) <= {End.ANSWER, End.LEFT}
        await nothing_is_held(cluster)
        seen.append({pid: residue_of(pid) for pid in cluster.processes()})
        if len(seen) >= 3 and not grown(seen[-3], seen[-1]):
            break
    else:
        raise AssertionError(f"it grows with every crowd: {[grown(seen[0], now) for now in seen]}")
    others = len(seen[0]) - 3  # workers, without itself, the gateway and whoever started them
    linked = {pid: residue.with_links(others) for pid, residue in seen[0].items()}
    assert not grown(linked, seen[-1])


def grown(
    before: Mapping[int, Residue], after: Mapping[int, Residue]
) -> dict[int, tuple[Residue, Residue]]:
    """Processes that have more than they had."""
    pairs = {pid: (old, after[pid]) for pid, old in before.items()}
    return {pid: (old, new) for pid, (old, new) in pairs.items() if new.exceeds(old)}


def crowd_of(cluster: RunningCluster, model: Path, bound: float = BOUND) -> Crowd:
    return Crowd(cluster.url, config_of(model), cluster.until_healthy, bound)


def config_of(model: Path) -> HashModelConfig:
    return parse_hash_config((model / "config.json").read_bytes(), str(model))


def drawn_rng() -> random.Random:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)  # noqa: T201
    return random.Random(seed)
