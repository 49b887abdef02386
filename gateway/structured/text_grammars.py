"""Grammars that are written down as text: regular expressions, choices, EBNF and Lark."""

from collections.abc import Sequence

from llguidance.gbnf_to_lark import any_to_lark

from baton.core.errors import RequestError
from gateway.structured.lark import quoted, regex, whole


def regex_grammar(pattern: str) -> str:
    """Raises RequestError."""
    return whole(f"start: {regex(pattern)}")


def choice_grammar(choices: Sequence[str]) -> str:
    """Raises RequestError."""
    if not choices:
        raise RequestError("there must be at least one choice")
    return whole("start: CHOICE\nCHOICE: " + " | ".join(quoted(choice) for choice in choices))


def to_lark(grammar: str) -> str:
    """Of EBNF as llama.cpp and xgrammar write it (`root ::= ...`), or of Lark. Raises RequestError."""
    if not grammar.strip():
        raise RequestError("the grammar is empty")
    try:
        return any_to_lark(grammar)
    except Exception as error:  # the library raises whatever
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RequestError(f"the grammar cannot be read as EBNF: {reason}") from error
