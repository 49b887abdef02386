"""Reasoning between two tags, such as <think> and </think>."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from gateway.parsers.reasoning import NOTHING, Parts
from gateway.parsers.tag_search import TagSearch
from gateway.prompts.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Tags:
    start: str
    end: str
    lead: str = ""  # written before content where there is no reasoning; it is dropped too


class TaggedReasoning:
    """`open`: an answer without the start tag is reasoning too, until the end tag comes; else it
    is content. Where a tag is one token of the vocabulary, only that token is the tag.
    """

    def __init__(self, vocabulary: Vocabulary, tags: Tags, *, open: bool = False) -> None:
        self._tags = tags
        self._open = open
        self.end = tags.end
        self._end_id = vocabulary.id_of(tags.end)
        spelled = (tags.start, tags.end, tags.lead)
        specials = {text.decode("utf-8", "replace") for text in vocabulary.specials.values()}
        self.visible: Sequence[str] = tuple(
            special for special in sorted(specials) if any(special in text for text in spelled)
        )
        self.tag_ids = frozenset(() if self._end_id is None else (self._end_id,))

    def parser(self, prompt_tail: str, continued: bool) -> "TaggedParser":
        start, end = prompt_tail.rfind(self._tags.start), prompt_tail.rfind(self._tags.end)
        begun = start > end if continued else prompt_tail.endswith(self._tags.start)
        ended = not begun if continued else prompt_tail.endswith(self._tags.end)
        open = self._open or begun
        stage = _Stage.CONTENT if ended else _Stage.START
        return TaggedParser(self._tags, stage, open, by_id=self._end_id is not None)


class _Stage(Enum):
    START = auto()  # nothing but white space and part of a tag so far
    THINKING = auto()
    CONTENT = auto()


class TaggedParser:
    def __init__(self, tags: Tags, stage: _Stage, open: bool, by_id: bool) -> None:
        self._tags = tags
        self._stage = stage
        self._open = open
        self._by_id = by_id
        self._read = 0  # characters that went through
        self._held = ""  # at the start
        self._search = TagSearch((tags.end,))
        self._ends: deque[int] = deque()  # where end tags begin, when they are told by id
        self._swallow = 0  # characters of the end tag that are yet to come
        self.boundary: int | None = 0 if stage is _Stage.CONTENT else None

    @property
    def thinking(self) -> bool:
        return self._stage is _Stage.THINKING

    def tag(self, token_id: int, end: int) -> None:
        if self._stage is not _Stage.CONTENT:
            self._ends.append(end - len(self._tags.end))

    def push(self, text: str) -> Parts:
        if self._stage is _Stage.START:
            text = self._started(text)
        if self._stage is _Stage.CONTENT:
            return Parts("", self._unswallowed(text))
        if self._stage is _Stage.START or not text:
            return NOTHING
        return self._by_token(text) if self._by_id else self._by_text(text)

    def end(self) -> Parts:
        if self._stage is _Stage.START:  # white space, or part of a tag
            held, self._held = self._held, ""
            if self._open:
                self._stage = _Stage.THINKING
                return Parts(held, "")
            self._content_from(0)
            return Parts("", held)
        return Parts(self._search.end(), "")

    def _started(self, text: str) -> str:
        """What is left for the next stage, once the text tells which one that is."""
        self._held += text
        body = self._held.lstrip()
        if body.startswith(self._tags.start):
            return self._leave_start(_Stage.THINKING, body[len(self._tags.start) :])
        lead = self._tags.lead
        if lead and body.startswith(lead):
            rest = body[len(lead) :]
            boundary = len(self._held) - len(rest)
            rest = self._leave_start(_Stage.CONTENT, rest)
            self.boundary = boundary
            return rest
        if self._tags.start.startswith(body) or lead.startswith(body):
            return ""
        stage = _Stage.THINKING if self._open else _Stage.CONTENT
        return self._leave_start(stage, self._held)

    def _leave_start(self, stage: _Stage, rest: str) -> str:
        self._stage = stage
        self._read = len(self._held) - len(rest)
        self._held = ""
        if stage is _Stage.CONTENT:
            self.boundary = 0
        return rest

    def _by_text(self, text: str) -> Parts:
        reasoning, tag, rest = self._search.push(text)
        if tag is None:
            self._read += len(text)
            return Parts(reasoning, "")
        self._content_from(self._read + len(text) - len(rest))
        return Parts(reasoning, rest)

    def _by_token(self, text: str) -> Parts:
        while self._ends and self._ends[0] < self._read:  # before the start tag
            self._ends.popleft()
        if not self._ends or self._ends[0] >= self._read + len(text):
            self._read += len(text)
            return Parts(text, "")
        start = self._ends.popleft()
        reasoning, rest = text[: start - self._read], text[start - self._read :]
        self._swallow = len(self._tags.end)
        self._content_from(start + self._swallow)
        return Parts(reasoning, self._unswallowed(rest))

    def _unswallowed(self, text: str) -> str:
        if not self._swallow:
            return text
        count = min(self._swallow, len(text))
        self._swallow -= count
        return text[count:]

    def _content_from(self, boundary: int) -> None:
        self._stage = _Stage.CONTENT
        self.boundary = boundary
