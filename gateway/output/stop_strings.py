"""Stop strings in a text that comes token by token."""

from collections.abc import Sequence
from dataclasses import dataclass


class StopStrings:
    """Withholds only what may yet be the beginning of a stop string. Costs O(new characters) for
    each of them, however long they are: every string has an automaton (Knuth, Morris and Pratt)
    whose state is how much of it the text ends with.
    """

    def __init__(self, strings: Sequence[str], include: bool) -> None:
        """`include`: a match stays in the text; then nothing is ever withheld."""
        self._automata = [_Automaton(string) for string in strings]
        self._include = include
        self._held = ""

    def push(self, text: str, armed: bool = True) -> tuple[str, str | None]:
        """(what is certain of the text, the string that ended it). Call it once per token: among
        strings found in the same token the first of the list wins. A match that is completed
        while not `armed` is passed over for good.
        """
        buffer = self._held + text
        found: tuple[str, int] | None = None
        for automaton in self._automata:
            end = automaton.push(text, armed)
            if end is not None and found is None:
                found = automaton.string, len(self._held) + end
        if found is not None:
            string, end = found
            self._held = ""
            return buffer[: end if self._include else end - len(string)], string
        held = 0 if self._include else max(automaton.state for automaton in self._automata)
        certain = len(buffer) - held
        self._held = buffer[certain:]
        return buffer[:certain], None

    def end(self) -> str:
        """What was withheld, when no more text comes."""
        held, self._held = self._held, ""
        return held


@dataclass(slots=True)
class _Automaton:
    string: str
    state: int = 0  # the text ends with so many characters of the string, and with no more
    failures: tuple[int, ...] = ()  # [k]: the state to try when state k cannot go on

    def __post_init__(self) -> None:
        failures = [0, 0]
        for character in self.string[1:]:
            state = failures[-1]
            while state and self.string[state] != character:
                state = failures[state]
            failures.append(state + (self.string[state] == character))
        self.failures = tuple(failures)

    def push(self, text: str, armed: bool) -> int | None:
        """Where in `text` the first match ends, if one counts."""
        string, failures, state = self.string, self.failures, self.state
        if not state and string[0] not in text:
            return None
        for i, character in enumerate(text):
            while state and string[state] != character:
                state = failures[state]
            if string[state] == character:
                state += 1
                if state == len(string):
                    if armed:
                        return i + 1
                    state = failures[state]
        self.state = state
        return None
