"""What a Dockerfile says, for tests that follow it without Docker."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "docker"
FILES = sorted(FOLDER.glob("*.Dockerfile"))

Stage = list[tuple[str, str]]  # instruction, what it is told


def stages(file: Path) -> list[Stage]:
    """Each begins with its FROM. ARGs stand for their defaults."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for line in file.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        instruction, _, told = line.partition(" ")
        told = re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], told)
        if instruction == "ARG":
            name, _, value = told.partition("=")
            arguments[name] = value
        elif instruction == "FROM":
            found.append([(instruction, told)])
        else:
            found[-1].append((instruction, told))
    return found


def told(stage: Stage, instruction: str) -> list[str]:
    return [words for name, words in stage if name == instruction]
