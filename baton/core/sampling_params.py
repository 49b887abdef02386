"""How the tokens of one request are drawn. The same object reaches prefill and decode."""

from dataclasses import dataclass
from enum import Enum

GREEDY_BELOW = 1e-5  # a temperature under this is argmax, as in vLLM


class LogprobsMode(Enum):
    """What is reported: log-probabilities or logits, as the model (and a grammar) left them, or as
    they were when the token was drawn. The names are vLLM's.
    """

    RAW_LOGPROBS = "raw_logprobs"
    RAW_LOGITS = "raw_logits"
    PROCESSED_LOGPROBS = "processed_logprobs"
    PROCESSED_LOGITS = "processed_logits"


class GrammarBackend(Enum):
    """The library that reads a grammar. The names are vLLM's."""

    GUIDANCE = "guidance"  # llguidance: its Lark
    XGRAMMAR = "xgrammar"  # a JSON object, see `baton.grammars.xgrammar_compiler`


@dataclass(frozen=True, slots=True)
class Grammar:
    """What the answer must look like: `text` is a grammar as `backend` takes it, checked by the
    gateway. With `after` it binds from behind the first place where these tokens stand in the
    answer, such as the end of the reasoning; empty: from the first token.
    """

    text: str
    after: tuple[int, ...] = ()
    backend: GrammarBackend = GrammarBackend.GUIDANCE


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """`n` beams; a score is the sum of log-probabilities / length ** `length_penalty`, where the
    length counts prompt + answer without a final end-of-sequence token.
    """

    length_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class ProcessorCall:
    """One logits processor that the client asked for; the server's pattern allows its name.

    With `args` or `kwargs` what is named is called with them first, and returns the processor.
    """

    qualname: str
    args: str = ""  # JSON array
    kwargs: str = ""  # JSON object


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Validated by the gateway; workers trust it.

    `max_tokens` counts generated tokens of one choice. `top_k` 0 is off. `seed` is drawn by the
    gateway when the client gives none, so that both workers and a continuation see the same one.
    What is empty, None or at its default costs nothing.
    """

    max_tokens: int
    seed: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    n: int = 1
    ignore_eos: bool = False  # of all end-of-sequence tokens; `stop_token_ids` still stop
    min_p: float = 0.0  # of the best token's probability
    min_tokens: int = 0  # generated, before any token may stop the choice
    stop_token_ids: tuple[int, ...] = ()  # ascending
    repetition_penalty: float = 1.0  # over prompt and answer
    presence_penalty: float = 0.0  # over the answer
    frequency_penalty: float = 0.0  # over the answer
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, added), ascending ids
    allowed_token_ids: tuple[int, ...] = ()  # ascending; empty: all
    bad_words: tuple[tuple[int, ...], ...] = ()  # token sequences that must not be completed
    logprobs: int | None = None  # best alternatives told per token; None: no log-probabilities
    prompt_logprobs: int | None = None  # likewise per prompt token; by whoever reads the prompt
    logprobs_mode: LogprobsMode = LogprobsMode.RAW_LOGPROBS
    grammar: Grammar | None = None
    beam: BeamSearch | None = None
    processors: tuple[ProcessorCall, ...] = ()
    extra_args: str = ""  # JSON object for plugins; empty: none

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW

    @property
    def penalised(self) -> bool:
        """Whether the draw depends on what was drawn before it."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
        )
