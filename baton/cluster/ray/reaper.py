"""Ends what a Ray of our own leaves: `python -m baton.cluster.ray.reaper FOLDER PID` waits until its stdin
is closed, which it is when `baton up` (PID) ends, however it does. Some of Ray's processes outlive a killed
Ray by minutes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_ROUNDS = 200
_BETWEEN = 0.05  # seconds


@contextlib.contextmanager
def folder_of_ray() -> Iterator[str]:
    """A folder for a Ray's files. Afterwards it is gone, and so is everybody else who has one of
    them open.
    """
    folder = tempfile.mkdtemp(prefix="baton-ray-")  # short, for sockets are in it
    reaper = subprocess.Popen(
        [sys.executable, "-m", __name__, folder, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C on the terminal is not for it
    )
    try:
        yield folder
    finally:
        reaper.communicate()


def reap(folder: Path, spared: int) -> None:
    """Those who have a file of the folder open are known by it: Ray's processes hide their
    environments and command lines.
    """
    for _ in range(_ROUNDS):
        found = [pid for pid in holders(folder) if pid not in (spared, os.getpid())]
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_BETWEEN)
    shutil.rmtree(folder, ignore_errors=True)


def holders(folder: Path) -> list[int]:
    return [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit() and _holds(process, f"{folder}/")
    ]


def _holds(process: Path, beginning: str) -> bool:
    with contextlib.suppress(OSError):  # it ended while we looked, or is another user's
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor).startswith(beginning):
                    return True
    return False


if __name__ == "__main__":
    sys.stdin.read()
    reap(Path(sys.argv[1]), int(sys.argv[2]))
