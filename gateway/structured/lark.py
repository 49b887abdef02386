"""Pieces of llguidance's Lark."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from llguidance import regex_to_lark

from baton.core.errors import RequestError

ANY_TEXT = r"/(.|\n)*/"
# Text without an alternative would be worked out to its end at every token, and allowed in its
# usual spelling only. A pattern can have a million such characters.
NO_FORCING = '%llguidance {"no_forcing": true}'


def literal(text: str, specials: Mapping[str, int] | None = None) -> str:
    """Exactly this text; where it spells one of `specials` (text -> token id), that token."""
    known = sorted(specials or {}, key=len, reverse=True)
    parts = re.split("(" + "|".join(map(re.escape, known)) + ")", text) if known else [text]
    spelled = [f"<[{(specials or {})[p]}]>" if p in known else quoted(p) for p in parts if p]
    return " ".join(spelled) or '""'


def quoted(text: str) -> str:
    """As JSON has it, but for DEL, which the library does not read bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def regex(pattern: str) -> str:
    """`pattern` as it stands between slashes. Raises RequestError."""
    if not pattern:
        raise RequestError("the regular expression is empty")
    return f"/{regex_to_lark(pattern, '')}/"


def whole(lark: str) -> str:
    """A grammar that is ready; the last word on an option counts."""
    return f"{lark}\n{NO_FORCING}"


def inline_json(schema: object) -> str:
    return "%json " + json.dumps(schema, ensure_ascii=False)


def times(body: str, least: int, most: int) -> str:
    """`body` so many times; `most` -1: without a bound."""
    if most == 0:
        return '""'
    return f"({body}){{{least},{'' if most == -1 else most}}}"


@dataclass(slots=True)
class Book:
    """A grammar that is being written: rules beside `start`, and grammars of their own."""

    rules: list[str] = field(default_factory=list)
    sides: list[str] = field(default_factory=list)

    def rule(self, body: str, options: str = "") -> str:
        name = f"r{len(self.rules)}"
        self.rules.append(f"{name}{options}: {body}")
        return name

    def later(self) -> str:
        """The name of a rule whose body is given by `now`, for one that stands in itself."""
        return self.rule("")

    def now(self, name: str, body: str) -> None:
        self.rules[int(name[1:])] = f"{name}: {body}"

    def side(self, lark: str) -> str:
        self.sides.append(lark)
        return f"@g{len(self.sides) - 1}"

    def text(self, start: str) -> str:
        top = whole("\n".join([f"start: {start}", *self.rules]))
        if not self.sides:
            return top
        grammars = [{"name": "top", "lark_grammar": top}]
        for number, lark in enumerate(self.sides):
            grammars.append({"name": f"g{number}", "lark_grammar": lark})
        return json.dumps({"grammars": grammars}, ensure_ascii=False)
