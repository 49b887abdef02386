"""The fields of a request -> the one constraint that they ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from baton.core.errors import RequestError
from gateway.schema.structured_fields import ResponseFormat, StructuredFields, StructuredOutputs
from gateway.structured.config import StructuredConfig
from gateway.structured.json_schema import ANY_OBJECT, JsonOptions, json_grammar
from gateway.structured.lark import whole
from gateway.structured.structural_tag import structural_tag
from gateway.structured.text_grammars import choice_grammar, regex_grammar, to_lark
from gateway.tool_use import ToolMode


class Kind(Enum):
    JSON = "json"
    REGEX = "regex"
    CHOICE = "choice"
    GRAMMAR = "grammar"
    STRUCTURAL_TAG = "structural_tag"


@dataclass(frozen=True, slots=True)
class Constraint:
    """`value` is as the client gave it. `param` names the field of the request."""

    kind: Kind
    value: Any
    param: str
    options: JsonOptions

    def grammar(self, specials: Mapping[str, int]) -> str:
        """The text for llguidance, not yet checked by it; `specials`: special tokens by their text.

        Raises RequestError without a param.
        """
        match self.kind:
            case Kind.JSON:
                return json_grammar(self.value, self.options)
            case Kind.REGEX:
                return regex_grammar(self.value)
            case Kind.CHOICE:
                return choice_grammar(self.value)
            case Kind.GRAMMAR:
                return whole(to_lark(self.value))
            case Kind.STRUCTURAL_TAG:
                return structural_tag(self.value, self.options, specials)


def constraint_of(asked: StructuredFields, config: StructuredConfig) -> Constraint | None:
    """None: the answer is free. Raises RequestError for several at once and for none of substance."""
    options = _options(asked, config)
    found = [
        *_of_outputs(asked.structured_outputs, options),
        *_of_old_fields(asked, options),
        *_of_format(asked.response_format, options),
    ]
    if len(found) > 1:
        first, second = found[0].param, found[1].param
        if first == second:
            names = ", ".join(one.kind.value for one in found if one.param == first)
            raise RequestError(f"{first} must hold exactly one constraint, not {names}", first)
        raise RequestError(f"{first} and {second} both constrain the answer", first)
    if not found:
        _check_not_hollow(asked)
        return None
    if options.disable_any_whitespace and options.whitespace_pattern is not None:
        raise RequestError(
            "disable_any_whitespace and whitespace_pattern exclude each other", found[0].param
        )
    return found[0]


def _options(asked: StructuredFields, config: StructuredConfig) -> JsonOptions:
    said = asked.structured_outputs
    pattern, whitespace, closed = asked.guided_whitespace_pattern, None, None
    if said is not None:
        pattern = said.whitespace_pattern or pattern
        whitespace, closed = said.disable_any_whitespace, said.disable_additional_properties
    if whitespace is None:  # a pattern of the request's own beats the server's default
        whitespace = config.disable_any_whitespace and pattern is None
    if closed is None:
        closed = config.disable_additional_properties
    return JsonOptions(whitespace, closed, pattern)


def _of_outputs(said: StructuredOutputs | None, options: JsonOptions) -> list[Constraint]:
    if said is None:
        return []
    name = "structured_outputs"
    given: list[tuple[Kind, Any]] = [
        (Kind.JSON, said.json_schema),
        (Kind.REGEX, said.regex),
        (Kind.CHOICE, said.choice),
        (Kind.GRAMMAR, said.grammar),
        (Kind.JSON, ANY_OBJECT if said.json_object else None),
        (Kind.STRUCTURAL_TAG, said.structural_tag),
    ]
    return _given(given, name, options)


def _given(pairs: list[tuple[Kind, Any]], param: str, options: JsonOptions) -> list[Constraint]:
    return [Constraint(kind, value, param, options) for kind, value in pairs if value is not None]


def _of_old_fields(asked: StructuredFields, options: JsonOptions) -> list[Constraint]:
    given: list[tuple[Kind, Any, str]] = [
        (Kind.JSON, asked.guided_json, "guided_json"),
        (Kind.REGEX, asked.guided_regex, "guided_regex"),
        (Kind.CHOICE, asked.guided_choice, "guided_choice"),
        (Kind.GRAMMAR, asked.guided_grammar, "guided_grammar"),
        (Kind.STRUCTURAL_TAG, asked.structural_tag, "structural_tag"),
    ]
    return [Constraint(kind, v, name, options) for kind, v, name in given if v is not None]


def _of_format(said: ResponseFormat | None, options: JsonOptions) -> list[Constraint]:
    if said is None or said.type == "text":
        return []
    name = "response_format"
    if said.type == "json_object":
        return [Constraint(Kind.JSON, ANY_OBJECT, name, options)]
    if said.type == "json_schema":
        assert said.json_schema is not None  # the schema of the body saw to it
        return [Constraint(Kind.JSON, said.json_schema.schema_, name, options)]
    return [Constraint(Kind.STRUCTURAL_TAG, said.as_structural_tag(), name, options)]


def _check_not_hollow(asked: StructuredFields) -> None:
    """Who sends structured_outputs wants structure: a free answer would be a surprise."""
    said = asked.structured_outputs
    if said is not None and said.json_object is None:
        raise RequestError(
            "structured_outputs must hold one of json, regex, choice, grammar, json_object and "
            "structural_tag",
            "structured_outputs",
        )
    if asked.guided_whitespace_pattern is not None:
        raise RequestError(
            "guided_whitespace_pattern does nothing without JSON", "guided_whitespace_pattern"
        )


def beside_tools(constraint: Constraint | None, mode: ToolMode) -> Constraint | None:
    """What is left of `constraint`: a forced call is the whole answer, so it wins.

    Raises RequestError where somebody who named a tool wrote a constraint of his own as well.
    """
    if not mode.forced or constraint is None:
        return constraint
    if mode is ToolMode.NAMED and constraint.param != "response_format":
        raise RequestError(
            f"{constraint.param} and a tool named in tool_choice both constrain the answer",
            constraint.param,
        )
    return None
