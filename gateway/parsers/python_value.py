"""Python literals as models write them in calls, and the same as JSON."""

import ast
import json
import re
import warnings

_MARK = re.compile(r"""['"\\()\[\]{},]""")
_NAMES = {"true": True, "false": False, "null": None, "none": None}


class PythonValue:
    """Finds the end of a value: a comma or a closing bracket that is not its own."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._depth = 0
        self._quote = ""
        self._escaped = False

    @property
    def text(self) -> str:
        return "".join(self._parts).strip()

    def feed(self, text: str, start: int) -> tuple[int, bool]:
        """(where the value ends in `text`, whether it is over)."""
        at = start
        while at < len(text):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            match = _MARK.search(text, at)
            if match is None:
                break
            if self._follow(match.group()):
                self._parts.append(text[start : match.start()])
                return match.start(), True
            at = match.end()
        self._parts.append(text[start:])
        return len(text), False

    def _follow(self, mark: str) -> bool:
        if mark == "\\":
            self._escaped = bool(self._quote)
        elif self._quote:
            if mark == self._quote:
                self._quote = ""
        elif mark in "'\"":
            self._quote = mark
        elif mark in "([{":
            self._depth += 1
        elif self._depth == 0:
            return True
        elif mark in ")]}":
            self._depth -= 1
        return False


def json_of(text: str) -> str:
    """Raises ValueError for what is no literal, or none that JSON has."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            tree = ast.parse(text, mode="eval")
        value = json.dumps(_value(tree.body), ensure_ascii=False, allow_nan=False)
        value.encode()  # half of a surrogate pair is no text
        return value
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error


def _value(node: ast.expr) -> object:
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _value(value) for key, value in zip(keys, values, strict=True)}
    raise ValueError("not a literal")


def _key(node: ast.expr | None) -> str:
    key = None if node is None else _value(node)
    if not isinstance(key, str):
        raise ValueError("a key must be a string")
    return key
