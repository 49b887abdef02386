"""The grammar of one request's answer: of its constraint, or of the calls that it is forced to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from baton.core.errors import RequestError
from baton.core.sampling_params import Grammar, GrammarBackend
from gateway.output import OutputPlan
from gateway.params.output_planner import OutputPlanner
from gateway.schema.structured_fields import StructuredFields
from gateway.structured.checking import GrammarChecker
from gateway.structured.config import StructuredConfig
from gateway.structured.constraint import Constraint, beside_tools, constraint_of
from gateway.structured.strict_calls import strict_calls, strict_calls_xgrammar
from gateway.structured.tool_calls import Markup, forced_calls
from gateway.structured.xgrammar_text import constraint_text, forced_calls_text
from gateway.tool_use import ToolMode, ToolUse

Encode = Callable[[str], list[int]]  # text -> token ids, without special ones of its own


@dataclass(frozen=True, slots=True)
class Wanted:
    """`text`: as the backend takes it. `late`: it says nothing about the reasoning before it, so
    it always binds behind that.
    """

    text: str
    late: bool = False


class GrammarDesk:
    def __init__(
        self,
        config: StructuredConfig,
        checker: GrammarChecker,
        planner: OutputPlanner,
        encode: Encode,
    ) -> None:
        self._config = config
        self._checker = checker
        self._planner = planner
        self._encode = encode

    async def wanted(self, asked: StructuredFields, use: ToolUse) -> Wanted | None:
        """None: the answer is free. Raises RequestError for what no answer could follow."""
        self._check_backend(asked.guided_decoding_backend)
        constraint = beside_tools(constraint_of(asked, self._config), use.mode)
        checked = self._checker.checked
        if use.mode.forced:
            return Wanted(await checked(lambda specials: self._calls(use, specials), "tools"))
        if constraint is not None:
            text = await checked(
                lambda specials: self._text(constraint, specials), constraint.param
            )
            return Wanted(text)
        markup = self._strict_markup(use)
        if markup is None:
            return None
        text = await checked(lambda specials: self._strict_calls(use, markup, specials), "tools")
        return Wanted(text, late=True)

    def _strict_markup(self, use: ToolUse) -> Markup | None:
        """None where no tool is strict, or where nothing is known of how the calls are written."""
        format = self._planner.tools
        if format is None or use.mode is ToolMode.OFF:
            return None
        markup = next((one for one in Markup if one.value == format.name), None)
        return markup if any(tool.strict for tool in use.functions) else None

    def _strict_calls(self, use: ToolUse, markup: Markup, specials: Mapping[str, int]) -> str:
        if self._config.library is GrammarBackend.XGRAMMAR:
            return strict_calls_xgrammar(use.functions, markup, specials)
        return strict_calls(use.functions, markup, specials)

    def _check_backend(self, asked: str | None) -> None:
        backend = self._config.library.value
        if asked not in (None, "auto", backend):
            raise RequestError(
                f"guided_decoding_backend: this server's is {backend}", "guided_decoding_backend"
            )

    def _text(self, constraint: Constraint, specials: Mapping[str, int]) -> str:
        if self._config.library is GrammarBackend.XGRAMMAR:
            return constraint_text(constraint, specials)
        return constraint.grammar(specials)

    def _calls(self, use: ToolUse, specials: Mapping[str, int]) -> str:
        named = use.names[0] if use.mode is ToolMode.NAMED else None
        markup = self._markup()
        if self._config.library is GrammarBackend.XGRAMMAR:
            return forced_calls_text(use.functions, named, markup, use.parallel, specials)
        return forced_calls(use.functions, named, markup, use.parallel, specials)

    def bound(
        self, wanted: Wanted | None, prompt: Sequence[int], plan: OutputPlan
    ) -> Grammar | None:
        """It binds behind the reasoning that the answer begins with, if anybody sees that."""
        if wanted is None:
            return None
        backend = self._config.library
        early = self._config.enable_in_reasoning or not plan.include_reasoning
        if plan.reasoning is None or (early and not wanted.late):
            return Grammar(wanted.text, backend=backend)
        end = self._planner.reasoning_end(prompt)
        return Grammar(wanted.text, tuple(self._encode(end)) if end else (), backend)

    def _markup(self) -> Markup:
        name = self._planner.forced_format.name
        try:
            return Markup(name)
        except ValueError as error:
            raise RequestError(
                f"tool_choice: there is no grammar for the calls of the parser {name!r}",
                "tool_choice",
            ) from error
