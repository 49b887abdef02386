"""What a number mostly is, sample by sample. Pure."""

RATE = 0.1


class Typical:
    """Follows the median: a sample moves it by no more than a share of how far samples are from it
    mostly, however far this one is.
    """

    def __init__(self, prior: float) -> None:
        self.value = prior
        self._spread = abs(prior)
        self.samples = 0

    def add(self, sample: float) -> None:
        self.samples += 1
        rate = max(RATE, 1 / self.samples)
        away = sample - self.value
        reach = 2 * self._spread
        self.value += rate * max(-reach, min(reach, away))
        self._spread += RATE * (min(abs(away), 4 * self._spread) - self._spread)
