"""Where a JSON value in a text ends, without waiting for it to be whole."""

import re

_CONTAINER = re.compile(r'["{}\[\]]')
_STRING = re.compile(r'["\\]')
_SCALAR_END = re.compile(r"[\s,}\]]")
SPACE = " \t\r\n"


class JsonValue:
    """One value, of which the text is kept. Only brackets and strings are followed: whether what
    is between them is JSON, its reader finds out.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.kind = ""  # the first character

    @property
    def text(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def feed(self, text: str, start: int) -> tuple[int, bool]:
        """(where in `text` what belongs to the value ends, whether the value is over)."""
        at = start
        if not self.kind:
            if at == len(text):
                return at, False
            self.kind = text[at]
        end, over = self._end(text, at)
        self._parts.append(text[start:end])
        return end, over

    def _end(self, text: str, at: int) -> tuple[int, bool]:
        if self.kind not in '{["':
            match = _SCALAR_END.search(text, at)
            return (len(text), False) if match is None else (match.start(), True)
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            match = (_STRING if self._in_string else _CONTAINER).search(text, at)
            if match is None:
                return len(text), False
            at = match.end()
            if self._follow(match.group()):
                return at, True
        return at, False

    def _follow(self, mark: str) -> bool:
        """Whether this character ends the value."""
        if mark == "\\":
            self._escaped = True
        elif mark == '"':
            self._in_string = not self._in_string
        elif mark in "{[":
            self._depth += 1
        else:
            self._depth -= 1
        return not self._in_string and not self._escaped and self._depth <= 0
