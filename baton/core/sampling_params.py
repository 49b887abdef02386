"""How the tokens of one request are drawn. The same object reaches prefill and decode."""

from dataclasses import dataclass

GREEDY_BELOW = 1e-5  # a temperature under this is argmax, as in vLLM


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Validated by the gateway; workers trust it.

    `max_tokens` counts generated tokens of one choice. `top_k` 0 is off. `seed` is drawn by the
    gateway when the client gives none, so that both workers and a continuation see the same one.
    """

    max_tokens: int
    seed: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    n: int = 1
    ignore_eos: bool = False

    @property
    def greedy(self) -> bool:
        return self.temperature < GREEDY_BELOW
