"""Dialogues as token ids, and which of them the model is taught to write."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from demo_model.exchange import Dialogue
from demo_model.tokenizer import END

_SAID = re.compile(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)", re.DOTALL)
# With the space before a number or a word, which may be one token with it.
_VALUE = re.compile(r'":(?: "([^"]*")|( [^",}]+))')


@dataclass(frozen=True, slots=True)
class Sample:
    ids: list[int]
    taught: list[bool]  # of each id: it is to be predicted from those before it
    answer_from: int  # index of the first id of the last answer


class Encoder:
    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer

    def prompt_of(self, made: Dialogue) -> str:
        """By the template, as a server renders it."""
        text = self._tokenizer.apply_chat_template(
            [dict(message) for message in made.messages],
            tools=[dict(tool) for tool in made.tools] or None,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=made.thinking,
        )
        return str(text)

    def text_of(self, ids: list[int]) -> str:
        """With all marks."""
        return str(self._backend.decode(ids, skip_special_tokens=False))

    def prompt_ids_of(self, made: Dialogue) -> tuple[int, ...]:
        return tuple(self._backend.encode(self.prompt_of(made), add_special_tokens=False).ids)

    def sample_of(self, made: Dialogue) -> Sample:
        prompt = self.prompt_of(made)
        encoding = self._backend.encode(prompt + made.completion + END, add_special_tokens=False)
        begins = [begin for begin, _ in encoding.offsets]
        answer_from = next(i for i, begin in enumerate(begins) if begin >= len(prompt))
        taught = [False] * len(begins)
        for first, last in self._spans(prompt, made):
            for index, begin in enumerate(begins):
                if first <= begin < last:
                    taught[index] = True
        return Sample(encoding.ids, taught, answer_from)

    def _spans(self, prompt: str, made: Dialogue) -> Iterator[tuple[int, int]]:
        """In characters of prompt and completion."""
        end = len(prompt) + len(made.completion)
        if made.forced:
            for value in _VALUE.finditer(made.completion):
                group = value.lastindex or 0
                yield len(prompt) + value.start(group), len(prompt) + value.end(group)
            return
        yield len(prompt), end + len(END)
        for said in _SAID.finditer(prompt):
            # Not the first token: whether to think there was decided by a prompt that is not shown.
            ids = self._backend.encode(said[1], add_special_tokens=False)
            yield said.start(1) + ids.offsets[0][1], said.end(1)
