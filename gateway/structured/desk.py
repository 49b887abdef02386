"""The grammar of one request's answer: of its constraint, or of the calls that it is forced to."""

from collections.abc import Callable, Mapping, Sequence

from baton.core.errors import RequestError
from baton.core.sampling_params import Grammar, GrammarBackend
from gateway.output import OutputPlan
from gateway.output_planner import OutputPlanner
from gateway.schema.structured_fields import StructuredFields
from gateway.structured.checking import GrammarChecker
from gateway.structured.config import StructuredConfig
from gateway.structured.constraint import Constraint, beside_tools, constraint_of
from gateway.structured.tool_calls import Markup, forced_calls
from gateway.structured.xgrammar_text import constraint_text, forced_calls_text
from gateway.tool_use import ToolMode, ToolUse

Encode = Callable[[str], list[int]]  # text -> token ids, without special ones of its own


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

    async def wanted(self, asked: StructuredFields, use: ToolUse) -> str | None:
        """None: the answer is free. Raises RequestError for what no answer could follow."""
        self._check_backend(asked.guided_decoding_backend)
        constraint = beside_tools(constraint_of(asked, self._config), use.mode)
        if use.mode.forced:
            return await self._checker.checked(lambda specials: self._calls(use, specials), "tools")
        if constraint is None:
            return None
        return await self._checker.checked(
            lambda specials: self._text(constraint, specials), constraint.param
        )

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

    def bound(self, text: str | None, prompt: Sequence[int], plan: OutputPlan) -> Grammar | None:
        """It binds behind the reasoning that the answer begins with, if anybody sees that."""
        if text is None:
            return None
        tells = plan.reasoning is not None and plan.include_reasoning
        end = self._planner.reasoning_end(prompt) if tells else None
        if end is None or self._config.enable_in_reasoning:
            return Grammar(text, backend=self._config.library)
        return Grammar(text, tuple(self._encode(end)), self._config.library)

    def _markup(self) -> Markup:
        name = self._planner.forced_format.name
        try:
            return Markup(name)
        except ValueError as error:
            raise RequestError(
                f"tool_choice: there is no grammar for the calls of the parser {name!r}",
                "tool_choice",
            ) from error
