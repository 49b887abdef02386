"""The tour of README.md as steps: what a reader types, and what is shown to him.

In the section "The tour", a ```console block holds commands, each after `$ `, and below each what
it prints, if that is shown. A ```python block is a program; a ```text block right after it is
what it prints. Where output is shown, `...` stands for anything.
"""

import re
from dataclasses import dataclass

_SECTION = re.compile(r"^## The tour\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    language: str  # console or python
    typed: str
    shown: str  # "" where no output is shown

    @property
    def title(self) -> str:
        return " ".join(re.findall(r"[\w.-]+", self.typed))[:60]

    def matches(self, printed: str) -> bool:
        """White space at the ends of lines does not count."""
        pattern = ".*".join(re.escape(part) for part in _tidy(self.shown).split("..."))
        return re.fullmatch(pattern, _tidy(printed), re.DOTALL) is not None


def steps_of(readme: str) -> list[Step]:
    section = _SECTION.search(readme)
    assert section is not None, "README.md has no section called The tour"
    steps: list[Step] = []
    end = 0
    for block in _BLOCK.finditer(section[1]):
        language, body = block[1], block[2]
        if language == "console":
            steps += _commands(body)
        elif language == "python":
            steps.append(Step("python", body, ""))
        elif language == "text" and steps and not section[1][end : block.start()].strip():
            steps[-1] = Step(steps[-1].language, steps[-1].typed, body)
        end = block.end()
    return steps


def _commands(body: str) -> list[Step]:
    """A command goes on while a quote is open, or where a line ends in a backslash or a pipe."""
    steps: list[Step] = []
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = 1
        while count < len(lines) and _is_open("".join(lines[:count])):
            count += 1
        steps.append(Step("console", "".join(lines[:count]).rstrip(), "".join(lines[count:])))
    return steps


def _is_open(command: str) -> bool:
    return command.count("'") % 2 == 1 or command.rstrip(" \n").endswith(("\\", "|"))


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
