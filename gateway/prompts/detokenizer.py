"""Token ids -> text, one step at a time, never taking back a character."""

import codecs
from collections.abc import Callable, Sequence

from gateway.prompts.vocabulary import Vocabulary

LONGEST_CHARACTER = 4  # bytes in UTF-8


class Detokenizer:
    """Of one choice. Bytes wait until their character is complete; invalid ones become U+FFFD.

    The concatenated deltas are the text of the whole; bytes still waiting when the answer ends
    are dropped. A character that the prompt began is completed. Special tokens have no text but
    for those in `visible`; None: all have.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        prompt: Sequence[int] = (),
        visible: frozenset[int] | None = frozenset(),
    ) -> None:
        self._bytes_of = _reader(vocabulary, visible)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._decoder.decode(_unfinished_tail(vocabulary, prompt))
        self._waiting = bool(self._decoder.getstate()[0])

    def push(self, token_ids: Sequence[int]) -> str:
        """The text that these tokens complete."""
        raw = b"".join(map(self._bytes_of, token_ids))
        if not self._waiting:
            try:
                return raw.decode()  # mostly whole characters, which the decoder takes longer for
            except UnicodeDecodeError:
                pass
        text = self._decoder.decode(raw)
        self._waiting = bool(self._decoder.getstate()[0])
        return text


def _reader(vocabulary: Vocabulary, visible: frozenset[int] | None) -> Callable[[int], bytes]:
    if visible is None:
        return vocabulary.spelled
    if not visible:
        return vocabulary.bytes_of
    spelled = {token_id: vocabulary.spelled(token_id) for token_id in visible}
    return lambda token_id: spelled.get(token_id) or vocabulary.bytes_of(token_id)


def _unfinished_tail(vocabulary: Vocabulary, prompt: Sequence[int]) -> bytes:
    """The last bytes of the prompt, if they begin a character and do not end it."""
    tail = b""
    for token_id in reversed(prompt[-2 * LONGEST_CHARACTER :]):
        tail = vocabulary.bytes_of(token_id) + tail
        if len(tail) >= LONGEST_CHARACTER:
            break
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    decoder.decode(tail)
    return decoder.getstate()[0]
