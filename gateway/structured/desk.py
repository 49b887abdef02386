"""The grammar of one request's answer: of its constraint, or of the calls that it is forced to."""

from collections.abc import Callable, Sequence
from functools import partial

from baton.core.errors import RequestError
from baton.core.sampling_params import Grammar
from gateway.output import OutputPlan
from gateway.output_planner import OutputPlanner
from gateway.schema.structured_fields import StructuredFields
from gateway.structured.checking import GrammarChecker
from gateway.structured.config import StructuredConfig
from gateway.structured.constraint import beside_tools, constraint_of
from gateway.structured.tool_calls import Markup, forced_calls
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
        constraint = beside_tools(constraint_of(asked, self._config), use.mode)
        if use.mode.forced:
            return await self._checker.checked(
                partial(
                    forced_calls,
                    use.functions,
                    use.names[0] if use.mode is ToolMode.NAMED else None,
                    self._markup(),
                    use.parallel,
                ),
                "tools",
            )
        if constraint is None:
            return None
        return await self._checker.checked(constraint.grammar, constraint.param)

    def bound(self, text: str | None, prompt: Sequence[int], plan: OutputPlan) -> Grammar | None:
        """It binds behind the reasoning that the answer begins with, if anybody sees that."""
        if text is None:
            return None
        tells = plan.reasoning is not None and plan.include_reasoning
        end = self._planner.reasoning_end(prompt) if tells else None
        if end is None or self._config.enable_in_reasoning:
            return Grammar(text)
        return Grammar(text, tuple(self._encode(end)))

    def _markup(self) -> Markup:
        name = self._planner.forced_format.name
        try:
            return Markup(name)
        except ValueError as error:
            raise RequestError(
                f"tool_choice: there is no grammar for the calls of the parser {name!r}",
                "tool_choice",
            ) from error
