"""How much memory this process may still take."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def available_memory(root: Path = ROOT) -> int:
    """Bytes that the machine can give without swapping and every control group around us allows.

    `root` holds proc/ and sys/.
    """
    return max(0, min([_of_machine(root), *_of_groups(root)]))


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the groups that limit this process in `controller`, of version 2 and version 1."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
        else:
            continue
        folder = top / path.lstrip("/")
        # A container may show its own group at the top and still name it by its path outside.
        yield from (
            group for group in (folder, *folder.parents) if group == top or top in group.parents
        )


def _of_machine(root: Path) -> int:
    lines = (root / "proc/meminfo").read_text().splitlines()
    line = next(line for line in lines if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _of_groups(root: Path) -> Iterator[int]:
    for group in control_groups(root, "memory"):
        yield from _headroom(group, "memory.max", "memory.current", "")
        yield from _headroom(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")


def _headroom(group: Path, limit: str, used: str, prefix: str) -> Iterator[int]:
    """Of one group, if it has a limit. Cached files count as used there, but can be dropped."""
    bound, taken = _lines(group / limit), _lines(group / used)
    if not bound or not taken or not bound[0].isdigit():
        return
    statistics = dict(line.split(" ", 1) for line in _lines(group / "memory.stat"))
    files = sum(int(statistics.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
    yield int(bound[0]) - int(taken[0]) + files


def _lines(path: Path) -> list[str]:
    """Empty where there is no such file, as at the top of a hierarchy."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
