"""What a test may leave behind: nothing."""

import os
import threading


def open_files() -> list[str]:
    """What each descriptor of this process points to, sockets and memory files only."""
    targets: list[str] = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue  # the listing's own descriptor
        if target.startswith(("socket:", "/memfd:")):
            targets.append(target)
    return sorted(targets)


def our_threads() -> list[str]:
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("kv-"))


def mapped_pools() -> int:
    """Mappings of KV pools, this process's own included."""
    with open("/proc/self/maps") as maps:
        return sum("/memfd:baton-kv" in line for line in maps)
