"""What a request says of its answer's text + how the server reads its model -> a plan."""

from collections.abc import Sequence
from dataclasses import dataclass

from baton.core.errors import RequestError
from gateway.answers.logprobs import TokenNames
from gateway.output import OutputPlan
from gateway.output.prompt_tail import prompt_tail
from gateway.parsers.hermes import HermesFormat
from gateway.parsers.reasoning import ReasoningFormat
from gateway.parsers.tools import ToolFormat
from gateway.prompts.vocabulary import Vocabulary
from gateway.schema.common import GenerationRequest
from gateway.tool_use import NO_TOOLS, ToolUse


@dataclass(frozen=True, slots=True)
class OutputPlanner:
    """`reasoning` and `tools`: None where the model writes none."""

    vocabulary: Vocabulary
    primary_eos: int | None = None
    reasoning: ReasoningFormat | None = None
    tools: ToolFormat | None = None
    interval: int = 1
    tokens_as_ids: bool = False

    def plan(
        self,
        asked: GenerationRequest,
        tool_use: ToolUse = NO_TOOLS,
        *,
        chat: bool = False,
        continued: bool = False,
    ) -> OutputPlan:
        """Only a chat is parsed. Raises RequestError for what cannot be told."""
        if asked.stream and asked.prompt_logprobs:
            raise RequestError("prompt_logprobs cannot be streamed", "prompt_logprobs")
        if asked.wanted_tokens == 0 and not asked.echo:
            raise RequestError("max_tokens may be 0 only with echo", "max_tokens")
        return OutputPlan(
            primary_eos=self.primary_eos,
            stop=asked.stop_strings,
            include_stop=bool(asked.include_stop_str_in_output),
            skip_special=asked.skip_special_tokens is not False,
            reasoning=self.reasoning if chat else None,
            include_reasoning=asked.shows_reasoning,
            tools=self._format(tool_use) if chat else None,
            tool_use=tool_use,
            continued=continued,
            mute=asked.wanted_tokens == 0,
            interval=self.interval,
        )

    @property
    def forced_format(self) -> ToolFormat:
        """How calls are written that the model is made to write: it need not know a markup."""
        return self.tools or HermesFormat()

    def _format(self, use: ToolUse) -> ToolFormat | None:
        return self.forced_format if use.mode.forced else self.tools

    def reasoning_end(self, prompt: Sequence[int]) -> str | None:
        """What ends the reasoning that may come first in the answer to this prompt. None: there is
        no reasoning, the answer is content from its first token.
        """
        if self.reasoning is None:
            return None
        tail = prompt_tail(self.vocabulary, prompt, continued=False)
        decided = self.reasoning.parser(tail, continued=False).boundary is not None
        return None if decided else self.reasoning.end

    def names(self, asked: GenerationRequest) -> TokenNames:
        said = asked.return_tokens_as_token_ids
        return TokenNames(self.vocabulary, self.tokens_as_ids if said is None else said)
