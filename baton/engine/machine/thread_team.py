"""OpenMP's threads, which share the work of one step."""

import ctypes
from collections.abc import MutableMapping

_SOFT = 1  # `omp_pause_soft` of OpenMP 5.0: threads go, what was set stays
# Turns that libgomp waits awake before it sleeps: some 100 us, which covers what stands between the parts of a
# step, but not what stands between two steps.
_TURNS = "4000"


def wait_briefly(environ: MutableMapping[str, str]) -> None:
    """Has threads that wait for work sleep soon, in a process that has not imported torch yet.

    libgomp's own 300,000 turns are some milliseconds, which on few cores are those of the gateway and its
    clients: they wait for a core on which a thread waits. What a step shares among its threads has no
    barriers within (`csrc/rounds.h`), so waking up is paid a few times a step.
    """
    environ.setdefault("GOMP_SPINCOUNT", _TURNS)


def release_team() -> None:
    """Lets those threads go that the calling thread has had compute for it; the next time there are new
    ones.

    Whoever has computed in parallel and is not the thread of the steps calls it. libgomp keeps a team
    for each such thread, and once a process has more of them than cores whoever waits is put to sleep
    at once: at each barrier of torch's own operations, and of matrix products of others.
    """
    pause = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)  # not every runtime has it
    if pause is not None:
        pause(_SOFT)
