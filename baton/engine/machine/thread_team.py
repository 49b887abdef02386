"""OpenMP's threads, which share the work of one step and wait for each other some ten times a layer."""

import ctypes

_SOFT = 1  # `omp_pause_soft` of OpenMP 5.0: threads go, what was set stays


def release_team() -> None:
    """Lets those threads go that the calling thread has had compute for it; the next time there are new
    ones.

    Whoever has computed in parallel and is not the thread of the steps calls it. libgomp keeps a team
    for each such thread, and once a process has more of them than cores whoever waits is put to sleep
    at once instead of waiting a few milliseconds awake: 30 to 60 us for each barrier instead of one,
    which made a step of `small` for one sequence a third longer.
    """
    pause = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)  # not every runtime has it
    if pause is not None:
        pause(_SOFT)
