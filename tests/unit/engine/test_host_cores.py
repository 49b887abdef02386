"""How many cores a worker takes by default, and what they can do."""

import os
from pathlib import Path

import pytest

from baton.engine.machine.host_cores import available_cores, cpu_flags, cpu_vendor

OURS = len(os.sched_getaffinity(0))


def write_group(root: Path, own: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {}, OURS),
        ("0::/a\n", {"a/cpu.max": "max 100000"}, OURS),
        ("0::/a\n", {"a/cpu.max": "150000 100000"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/outside\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "900000000 1000"}, OURS),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "99", "cpu/x/cpu.cfs_period_us": "99"}, 1),
        ("4:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "99"}, OURS),
    ],
)
def test_the_affinity_or_the_tightest_quota_decides(
    tmp_path: Path, own: str, files: dict[str, str], expected: int
) -> None:
    assert available_cores(write_group(tmp_path, own, files)) == expected


def test_what_the_cpu_can_do_is_read_from_its_first_core(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path) == frozenset()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "vendor_id\t: Genuine\nmodel name\t: x\nflags\t\t: fpu avx2 fma\n\nflags: no\n"
    )
    assert cpu_vendor(tmp_path) == "Genuine"
    assert cpu_flags(tmp_path) == {"fpu", "avx2", "fma"}
