"""Jobs in, an answer out: as one object or as a stream of events."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial

from starlette.types import Receive

from gateway.answers.answer import PromptAnswer, StreamFormat
from gateway.http.disconnect import until_disconnect
from gateway.http.sse import EventStream
from gateway.job import Job
from gateway.output import Output, fold
from gateway.output.interval import Interval
from gateway.prompts.vocabulary import Vocabulary
from gateway.serving.dispatch import Dispatcher, MakeOutput
from gateway.serving.items import Answered, Item, PromptRead, PromptScores
from gateway.serving.merge import all_of, merged


class Delivery:
    def __init__(self, dispatcher: Dispatcher, vocabulary: Vocabulary, stall: float) -> None:
        self._dispatcher = dispatcher
        self._vocabulary = vocabulary
        self._stall = stall  # seconds that a client may read nothing

    async def whole(self, jobs: Sequence[Job], receive: Receive) -> list[PromptAnswer]:
        """Raises ClientDisconnect, after cancelling the jobs, when the client goes away."""
        works = [partial(self._dispatcher.whole, job, self._output(job)) for job in jobs]
        results = await until_disconnect(receive, all_of(works))
        return [_folded(job, result) for job, result in zip(jobs, results, strict=True)]

    def stream(
        self, jobs: Sequence[Job], format: StreamFormat, headers: Mapping[str, str]
    ) -> EventStream:
        return EventStream(self._told(jobs, format), headers, self._stall, last=format.end)

    async def events(
        self, jobs: Sequence[Job], format: StreamFormat
    ) -> AsyncGenerator[bytes, None]:
        """Encoded ones, each item with one or more of them whole."""
        async with aclosing(self._told(jobs, format)) as told:
            async for events in told:
                yield events
        if end := format.end():
            yield end

    async def _told(self, jobs: Sequence[Job], format: StreamFormat) -> AsyncGenerator[bytes, None]:
        """The same up to the last token."""
        intervals = [Interval(job.plan.interval) for job in jobs]

        def encoded(prompt: int, item: Item) -> bytes:
            """Empty where nothing is to be sent yet."""
            match item:
                case list():  # first, because it is nearly always that
                    return format.push(prompt, intervals[prompt].push(item))
                case PromptRead():
                    format.cached(prompt, item.reading.cached_tokens)
                    format.read(prompt, item.reading)
                case PromptScores():
                    format.scored(prompt, item.entries)
            return b""

        sources = [partial(self._dispatcher.stream, job, self._output(job)) for job in jobs]
        if len(sources) == 1:
            async with aclosing(sources[0]()) as items:
                async for item in items:
                    if events := encoded(0, item):
                        yield events
        else:
            async with aclosing(merged(sources)) as letters:
                async for prompt, item in letters:
                    if events := encoded(prompt, item):
                        yield events

    def _output(self, job: Job) -> MakeOutput:
        return partial(Output, self._vocabulary, job.prompt, job.params, job.plan)


def _folded(job: Job, answered: Answered) -> PromptAnswer:
    choices = fold(answered.deltas, job.params.n)
    reading = answered.reading
    return PromptAnswer(job, choices, reading.cached_tokens, answered.prompt_scores, reading)
