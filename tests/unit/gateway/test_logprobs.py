"""Log-probabilities as JSON: true bytes, true alternatives, no infinity."""

import math
from typing import Any

from baton.core.token_record import TokenLogprobs, TokenRecord
from gateway.answers.logprobs import CompletionLogprobs, TokenNames, chat_logprobs, prompt_logprobs
from gateway.prompts.vocabulary import Vocabulary

HALF, REST = "😀".encode()[:2], "😀".encode()[2:]
VOCABULARY = Vocabulary((b"a", HALF, REST, b" b", b""), {4: b"<eos>"})
NAMES = TokenNames(VOCABULARY)


def record(
    token: int, logprob: float = -1.0, top: tuple[tuple[int, float], ...] = ()
) -> TokenRecord:
    return TokenRecord(0, 3, token, None, TokenLogprobs(logprob, 1, top))


def test_a_fragment_is_called_by_its_bytes_and_has_them() -> None:
    entries: Any = chat_logprobs([record(0), record(1), record(2), record(4)], NAMES, 0)["content"]
    assert [entry["token"] for entry in entries] == [
        "a",
        "bytes:\\xf0\\x9f",
        "bytes:\\x98\\x80",
        "<eos>",
    ]
    assert bytes(b for entry in entries for b in entry["bytes"]).decode() == "a😀<eos>"


def test_the_alternatives_are_the_best_ones_with_or_without_the_token() -> None:
    (entry,) = chat_logprobs([record(3, -5.0, ((0, -0.5), (2, -2.0)))], NAMES, 1)["content"]
    assert entry["logprob"] == -5.0
    assert entry["top_logprobs"] == [{"token": "a", "logprob": -0.5, "bytes": [97]}]
    (none,) = chat_logprobs([record(3, -5.0, ((0, -0.5),))], NAMES, 0)["content"]
    assert none["top_logprobs"] == []


def test_minus_infinity_has_a_number() -> None:
    (entry,) = chat_logprobs([record(0, -math.inf, ((3, -math.inf),))], NAMES, 1)["content"]
    assert entry["logprob"] == -9999.0
    (other,) = chat_logprobs([record(0, math.nan)], NAMES, 1)["content"]
    assert other["logprob"] == -9999.0


def test_tokens_can_be_called_by_their_ids_and_keep_their_bytes() -> None:
    names = TokenNames(VOCABULARY, as_ids=True)
    (entry,) = chat_logprobs([record(0, -1.0, ((2, -0.5),))], names, 1)["content"]
    assert (entry["token"], entry["bytes"]) == ("token_id:0", [97])
    assert entry["top_logprobs"] == [{"token": "token_id:2", "logprob": -0.5, "bytes": list(REST)}]


def test_a_prompts_tokens_come_first_in_their_maps() -> None:
    scores = [TokenLogprobs(-3.0, 7, ((0, -0.5), (4, -1.0))), TokenLogprobs(-0.5, 1, ((0, -0.5),))]
    assert prompt_logprobs((4, 3, 0), scores, NAMES) == [
        None,
        {
            "3": {"logprob": -3.0, "rank": 7, "decoded_token": " b"},
            "0": {"logprob": -0.5, "rank": 1, "decoded_token": "a"},
            "4": {"logprob": -1.0, "rank": 2, "decoded_token": "<eos>"},
        },
        {"0": {"logprob": -0.5, "rank": 1, "decoded_token": "a"}},
    ]


def test_a_completions_lists_say_where_tokens_begin() -> None:
    lists = CompletionLogprobs(NAMES, 1, (), frozenset())
    first: Any = lists.push([record(0, -1.0, ((3, -0.5),)), record(1), record(2)])
    assert first == {
        "text_offset": [0, 1, 1],
        "token_logprobs": [-1.0, -1.0, -1.0],
        "tokens": ["a", "bytes:\\xf0\\x9f", "bytes:\\x98\\x80"],
        "top_logprobs": [{" b": -0.5, "a": -1.0}, {"bytes:\\xf0\\x9f": -1.0}, {"bytes:\\x98\\x80": -1.0}],
    }  # fmt: skip
    then: Any = lists.push([record(3)])
    assert then["text_offset"] == [2]


def test_an_echoed_prompts_first_token_has_no_score() -> None:
    lists = CompletionLogprobs(NAMES, 0, (), frozenset())
    told: Any = lists.prompt((4, 0), [TokenLogprobs(-2.0, 3)])
    assert told["token_logprobs"] == [None, -2.0]
    assert told["top_logprobs"] == [None, {"a": -2.0}]
    assert lists.push([record(3)])["text_offset"] == [1]
