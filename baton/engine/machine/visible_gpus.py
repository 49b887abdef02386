"""Which NVIDIA devices a process may use, without asking CUDA: `baton up` loads no torch."""

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path("/")


def visible_gpus(environ: Mapping[str, str], root: Path = ROOT) -> tuple[str, ...]:
    """As CUDA_VISIBLE_DEVICES names them, or by number. Empty where there is none."""
    numbers = sorted(
        int(match[1])
        for node in root.glob("dev/nvidia[0-9]*")
        if (match := re.fullmatch(r"nvidia(\d+)", node.name))
    )
    named = environ.get("CUDA_VISIBLE_DEVICES")
    if not numbers or named is None:
        return tuple(map(str, range(len(numbers))))
    words = [word.strip() for word in named.split(",")]
    if "-1" in words:  # CUDA stops reading there
        words = words[: words.index("-1")]
    return tuple(filter(None, words))
