"""How many tokens an answer is going to have, learned from those that ended. Pure."""

from baton.core.sampling_params import SamplingParams

PRIOR = 128.0
RATE = 0.02


class AnswerLength:
    """The mean of about the last fifty answers, within what a request allows."""

    def __init__(self) -> None:
        self._mean = PRIOR
        self._samples = 0

    def ended(self, num_tokens: float) -> None:
        """A choice, of its own accord or by its limit."""
        self._samples += 1
        self._mean += max(RATE, 1 / (self._samples + 1)) * (num_tokens - self._mean)

    def expected(self, params: SamplingParams) -> float:
        """Of each choice."""
        if params.ignore_eos:
            return float(params.max_tokens)
        return max(1.0, float(params.min_tokens), min(self._mean, float(params.max_tokens)))
