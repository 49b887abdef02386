"""The cores of this machine: what they can do, and how many this process may use."""

import os
from pathlib import Path

from baton.engine.machine.host_memory import ROOT, control_groups


def available_cores(root: Path = ROOT) -> int:
    """The cores we may run on, or as many as the control groups around us lend time of; at least 1.

    `root` holds proc/ and sys/.
    """
    quotas = [quota for group in control_groups(root, "cpu") if (quota := _quota(group))]
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def cpu_flags(root: Path = ROOT) -> frozenset[str]:
    """What the first core can do, in the kernel's words; empty where it does not say."""
    return frozenset(_said_of_cpu(root, "flags").split())


def cpu_vendor(root: Path = ROOT) -> str:
    """Who made the first core, in the kernel's words; empty where it does not say."""
    return _said_of_cpu(root, "vendor_id") or _said_of_cpu(root, "CPU implementer")


def _said_of_cpu(root: Path, name: str) -> str:
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    line = next((line for line in lines if line.startswith(name)), ":")
    return line.partition(":")[2].strip()


def _quota(group: Path) -> float | None:
    """Cores' worth of time of one group; None: no limit."""
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    return int(quota) / int(period) if quota.isdigit() else None
