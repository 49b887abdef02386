"""The end of a prompt, as the template wrote it."""

from collections.abc import Sequence

from gateway.prompts.vocabulary import Vocabulary

TAIL = 32  # tokens


def prompt_tail(vocabulary: Vocabulary, prompt: Sequence[int], continued: bool) -> str:
    """Without white space behind it; special tokens are spelled. Of a message that is continued
    the beginning may be anywhere, so that it is the whole prompt.
    """
    tail = prompt if continued else prompt[-TAIL:]
    raw = b"".join(map(vocabulary.spelled, tail))
    return raw.decode("utf-8", "replace").rstrip()
