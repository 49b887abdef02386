"""Log-probabilities as JSON, with the true bytes of every token."""

from collections.abc import Iterable, Sequence

from baton.core.token_record import TokenLogprobs, TokenRecord
from gateway.prompts.detokenizer import Detokenizer
from gateway.prompts.vocabulary import Vocabulary

LOWEST = -9999.0  # stands for minus infinity, which JSON does not have


class TokenNames:
    """How tokens are called. A token that is no text by itself is called by its bytes."""

    def __init__(self, vocabulary: Vocabulary, as_ids: bool = False) -> None:
        self.vocabulary = vocabulary
        self._as_ids = as_ids

    def name(self, token_id: int) -> str:
        return f"token_id:{token_id}" if self._as_ids else self.text(token_id)

    def text(self, token_id: int) -> str:
        raw = self.vocabulary.spelled(token_id)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)


def finite(logprob: float) -> float:
    return logprob if logprob > LOWEST else LOWEST


def chat_logprobs(
    records: Iterable[TokenRecord], names: TokenNames, top: int
) -> dict[str, list[dict[str, object]]]:
    """An entry per token with its best `top` alternatives, itself among them or not."""
    return {"content": [_chat_entry(record, names, top) for record in records]}


def _chat_entry(record: TokenRecord, names: TokenNames, top: int) -> dict[str, object]:
    scores = _scores(record)
    best = [_named(token_id, logprob, names) for token_id, logprob in scores.top[:top]]
    return {**_named(record.token_id, scores.logprob, names), "top_logprobs": best}


def _named(token_id: int, logprob: float, names: TokenNames) -> dict[str, object]:
    return {
        "token": names.name(token_id),
        "logprob": finite(logprob),
        "bytes": list(names.vocabulary.spelled(token_id)),
    }


def prompt_logprobs(
    prompt: Sequence[int], scores: Sequence[TokenLogprobs], names: TokenNames
) -> list[dict[str, dict[str, object]] | None]:
    """One map per token of the prompt, the token itself first; the first has none."""
    entries = zip(prompt[1:], scores, strict=True)
    return [None, *(_prompt_entry(token_id, score, names) for token_id, score in entries)]


def _prompt_entry(
    token_id: int, scores: TokenLogprobs, names: TokenNames
) -> dict[str, dict[str, object]]:
    ranked = enumerate(scores.top, start=1)
    best = {other: (logprob, rank) for rank, (other, logprob) in ranked}
    ordered = {token_id: (scores.logprob, scores.rank)} | {
        other: value for other, value in best.items() if other != token_id
    }
    return {
        str(other): {"logprob": finite(logprob), "rank": rank, "decoded_token": names.text(other)}
        for other, (logprob, rank) in ordered.items()
    }


class CompletionLogprobs:
    """Of one choice of /v1/completions: four lists, and where in the text each token begins."""

    def __init__(
        self, names: TokenNames, top: int, prompt: Sequence[int], visible: frozenset[int] | None
    ) -> None:
        """`prompt`: what comes before the tokens, and is not shown."""
        self._names = names
        self._top = top
        self._detokenizer = Detokenizer(names.vocabulary, prompt, visible)
        self._offset = 0  # characters

    def prompt(self, prompt: Sequence[int], scores: Sequence[TokenLogprobs]) -> dict[str, object]:
        """Of a prompt that is shown before the answer; its first token has no score."""
        pairs = [(prompt[0], None), *zip(prompt[1:], scores, strict=True)]
        return self._lists(pairs)

    def push(self, records: Iterable[TokenRecord]) -> dict[str, object]:
        return self._lists([(record.token_id, _scores(record)) for record in records])

    def _lists(self, pairs: Sequence[tuple[int, TokenLogprobs | None]]) -> dict[str, object]:
        return {
            "text_offset": [self._begin(token_id) for token_id, _ in pairs],
            "token_logprobs": [s and finite(s.logprob) for _, s in pairs],
            "tokens": [self._names.name(token_id) for token_id, _ in pairs],
            "top_logprobs": [s and self._best(token_id, s) for token_id, s in pairs],
        }

    def _begin(self, token_id: int) -> int:
        offset = self._offset
        self._offset += len(self._detokenizer.push((token_id,)))
        return offset

    def _best(self, token_id: int, scores: TokenLogprobs) -> dict[str, float]:
        """The token itself is always among them."""
        best = dict(scores.top[: self._top])
        best.setdefault(token_id, scores.logprob)
        return {self._names.name(other): finite(logprob) for other, logprob in best.items()}


def joined(first: dict[str, object], second: dict[str, object]) -> dict[str, object]:
    """Two pieces of a completion's lists as one."""
    return {key: [*_list(first[key]), *_list(second[key])] for key in first}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _scores(record: TokenRecord) -> TokenLogprobs:
    """A record without any, which no worker should send, counts as impossible."""
    return record.logprobs or TokenLogprobs(LOWEST, 0)
