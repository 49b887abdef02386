"""Tokens of one choice -> what the client reads of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from baton.core.sampling_params import SamplingParams
from baton.core.token_record import FinishReason, TokenRecord
from gateway.output.delta import Delta, StopReason, ToolCallDelta
from gateway.output.plan import OutputPlan
from gateway.output.prompt_tail import prompt_tail
from gateway.output.spans import Spans
from gateway.output.stop_strings import StopStrings
from gateway.output.tool_calls import ToolCalls
from gateway.parsers.reasoning import ReasoningParser
from gateway.prompts.detokenizer import Detokenizer
from gateway.prompts.vocabulary import Vocabulary

_token_id = attrgetter("token_id")


@dataclass(slots=True)
class _Step:
    """What the tokens of one step add up to."""

    text: str = ""
    reasoning: str = ""
    calls: list[ToolCallDelta] = field(default_factory=list)
    shown: list[TokenRecord] = field(default_factory=list)
    tokens: int = 0
    finish_reason: str | None = None
    stop_reason: StopReason = None
    reasoning_tokens: int | None = None


class Choice:
    """detokenise -> stop strings -> reasoning -> tool calls -> delta.

    Everything is decided token by token, so how tokens are grouped into steps does not matter. A
    choice of which nothing but text can come takes the short way: one decoding per step.
    """

    def __init__(
        self,
        index: int,
        vocabulary: Vocabulary,
        prompt: Sequence[int],
        params: SamplingParams,
        plan: OutputPlan,
    ) -> None:
        self._index = index
        self._plan = plan
        self._params = params
        self._detokenizer = Detokenizer(vocabulary, prompt, plan.visible(vocabulary))
        self._stops = StopStrings(plan.stop, plan.include_stop) if plan.stop else None
        self._reasoning: ReasoningParser | None = None
        if plan.reasoning is not None:
            tail = prompt_tail(vocabulary, prompt, plan.continued)
            self._reasoning = plan.reasoning.parser(tail, plan.continued)
        self._tag_ids = plan.reasoning.tag_ids if plan.reasoning else frozenset[int]()
        self._spans = Spans(plan.include_reasoning) if self._reasoning else None
        self._tools = ToolCalls(plan.calls, plan.tool_use) if plan.calls else None
        self._simple = not (plan.stop or plan.parsed or plan.mute)  # all that comes is text
        self._scored = params.logprobs is not None
        self._count = 0  # tokens
        self._length = 0  # characters of the raw text
        self.ended = False

    def push(self, records: Sequence[TokenRecord]) -> Delta:
        """Of one step at least, not after the end."""
        if self._simple:
            return self._plain(records)
        if self._plan.mute:
            self.ended = True
            return Delta(self._index, "", (), "length")
        step = _Step()
        for record in records:
            self._add(record, step)
            if self.ended:
                break
        return self._delta(step)

    def _plain(self, records: Sequence[TokenRecord]) -> Delta:
        ids = tuple(map(_token_id, records))
        last = records[-1]
        shown = tuple(records) if self._scored else ()
        if last.finish_reason is None:
            return Delta(self._index, self._detokenizer.push(ids), ids, records=shown)
        self.ended = True
        text = self._detokenizer.push(ids[:-1] if self._silent(last) else ids)
        return Delta(
            self._index,
            text,
            ids,
            last.finish_reason.value,
            self._stop_reason(last),
            records=shown,
            reasoning_tokens=None if self._spans is None else self._spans.inside,
        )

    def _add(self, record: TokenRecord, step: "_Step") -> None:
        self._count += 1
        text = "" if self._silent(record) else self._detokenizer.push((record.token_id,))
        start, self._length = self._length, self._length + len(text)
        if self._reasoning is not None and text and record.token_id in self._tag_ids:
            self._reasoning.tag(record.token_id, self._length)
        if self._spans is None:
            step.shown.append(record)
        else:
            step.shown += self._spans.add(record, start, self._length)
        step.tokens += 1
        match: str | None = None
        if self._stops is not None:
            text, match = self._stops.push(text, armed=self._count > self._params.min_tokens)
            if record.finish_reason is not None and match is None:
                text += self._stops.end()
        self._divide(text, step)
        enough = self._tools is not None and self._tools.enough
        if match is not None or enough or record.finish_reason is not None:
            self._end(record, match, enough, step)

    def _divide(self, text: str, step: "_Step") -> None:
        if self._reasoning is None:
            self._content(text, step)
            return
        reasoning, content = self._reasoning.push(text)
        self._think(reasoning, step)
        self._content(content, step)
        boundary = self._reasoning.boundary
        if self._spans is not None and not self._spans.settled and boundary is not None:
            step.shown += self._spans.settle(boundary)
            self._simple = self._stops is None and self._tools is None

    def _think(self, text: str, step: "_Step") -> None:
        if self._plan.include_reasoning:
            step.reasoning += text

    def _content(self, text: str, step: "_Step") -> None:
        if self._tools is not None and text:
            text, calls = self._tools.push(text)
            step.calls += calls
        step.text += text

    def _end(self, record: TokenRecord, match: str | None, enough: bool, step: "_Step") -> None:
        self.ended = True
        reason = "stop" if match is not None or enough else "length"
        if record.finish_reason is FinishReason.STOP:
            reason = "stop"
        cut = match is not None or reason == "length"
        if self._reasoning is not None and self._spans is not None:
            reasoning, content = self._reasoning.end()
            self._think(reasoning, step)
            self._content(content, step)
            thinking = self._reasoning.boundary is None and self._reasoning.thinking
            boundary = self._length + 1 if thinking else self._reasoning.boundary or 0
            step.shown += self._spans.settle(boundary)
            step.reasoning_tokens = self._spans.inside
        if self._tools is not None and not enough:
            text, calls = self._tools.end(cut)
            step.text += text
            step.calls += calls
        step.finish_reason = reason if self._tools is None else self._tools.reason(reason)
        step.stop_reason = match if match is not None else self._stop_reason(record)

    def _delta(self, step: "_Step") -> Delta:
        return Delta(
            self._index,
            step.text,
            tuple(record.token_id for record in step.shown),
            step.finish_reason,
            step.stop_reason,
            step.reasoning,
            tuple(step.calls),
            tuple(step.shown) if self._scored else (),
            step.tokens - len(step.shown),
            step.reasoning_tokens,
        )

    def _silent(self, record: TokenRecord) -> bool:
        return record.finish_reason is FinishReason.STOP and not self._plan.include_stop

    def _stop_reason(self, record: TokenRecord) -> StopReason:
        """An end-of-sequence token needs no reason, any other stop token is one."""
        if record.finish_reason is not FinishReason.STOP:
            return None
        token_id, eos = record.token_id, self._plan.primary_eos
        if eos is None:
            return token_id if token_id in self._params.stop_token_ids else None
        return None if token_id == eos and not self._params.ignore_eos else token_id
