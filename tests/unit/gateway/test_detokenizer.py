"""Text appears token by token and is never taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from baton.core.errors import SettingsError
from gateway.prompts.detokenizer import Detokenizer
from gateway.prompts.tokenizer import ChatTokenizer
from gateway.prompts.vocabulary import Vocabulary, read_vocabulary

BYTES = Vocabulary(tuple(bytes([value]) for value in range(256)))


def backend_of(tokenizer: ChatTokenizer) -> Tokenizer:
    return tokenizer._backend


def deltas(vocabulary: Vocabulary, ids: list[int], prompt: list[int] | None = None) -> list[str]:
    detokenizer = Detokenizer(vocabulary, prompt or [])
    return [detokenizer.push([token_id]) for token_id in ids]


@given(text=st.text())
def test_the_deltas_of_a_text_are_the_text(tokenizer: ChatTokenizer, text: str) -> None:
    ids = backend_of(tokenizer).encode(text).ids
    if any(special in text for special in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")):
        return
    assert "".join(deltas(tokenizer.vocabulary, ids)) == text


@given(data=st.data())
def test_the_deltas_of_any_tokens_are_what_the_tokenizer_decodes(
    tokenizer: ChatTokenizer, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizer.vocabulary) - 1), max_size=40))
    whole = backend_of(tokenizer).decode(ids, skip_special_tokens=True)
    mine = "".join(deltas(tokenizer.vocabulary, ids))
    # Bytes of an incomplete character at the end are dropped. The tokenizer shows one U+FFFD for
    # them, or two for what could only become half of a surrogate pair.
    assert whole.removeprefix(mine) in ("", "\ufffd", "\ufffd\ufffd")


@given(ids=st.lists(st.integers(0, 255), max_size=40), cuts=st.lists(st.integers(0, 40)))
def test_how_tokens_are_grouped_does_not_matter(ids: list[int], cuts: list[int]) -> None:
    one = Detokenizer(BYTES)
    groups, start = [], 0
    for cut in [*sorted(min(cut, len(ids)) for cut in cuts), len(ids)]:
        groups.append(ids[start:cut])
        start = cut
    assert "".join(map(one.push, groups)) == "".join(deltas(BYTES, ids))


def test_a_character_appears_with_its_last_byte() -> None:
    assert deltas(BYTES, list("a😀b".encode())) == ["a", "", "", "", "😀", "b"]


def test_a_character_cut_off_at_the_end_is_dropped() -> None:
    assert "".join(deltas(BYTES, list("a😀".encode())[:-1])) == "a"


def test_invalid_bytes_become_replacement_characters() -> None:
    assert "".join(deltas(BYTES, [0xFF, 0x61])) == "\ufffda"


def test_a_character_that_the_prompt_began_is_completed() -> None:
    start, end = list("x😀".encode())[:3], list("😀".encode())[2:]
    assert deltas(BYTES, end, prompt=start) == ["", "😀"]


def test_special_tokens_and_unknown_ids_have_no_text(tokenizer: ChatTokenizer) -> None:
    assert deltas(tokenizer.vocabulary, [0, 1, 2, 100_000]) == ["", "", "", ""]


def test_sentencepiece_pieces_are_text_with_single_bytes_between() -> None:
    vocab = {"<unk>": 0, "\u2581hello": 1, "\u2581": 2}
    vocab |= {f"<0x{value:02X}>": 3 + value for value in range(256)}
    backend = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    ids = [1, 2, *(3 + value for value in "é".encode())]
    assert deltas(read_vocabulary(backend), ids) == [" hello", " ", "", "é"]


def test_a_tokenizer_of_another_family_stops_the_start() -> None:
    backend = Tokenizer(models.WordPiece({"a": 0}, unk_token="a"))
    backend.decoder = decoders.WordPiece()
    with pytest.raises(SettingsError, match="WordPiece"):
        read_vocabulary(backend)
