"""The losses of a training, as lines and as a small picture."""

from collections.abc import Sequence

_COLUMNS, _ROWS = 60, 12


class Curve:
    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._losses: list[tuple[int, float]] = []

    def add(self, step: int, loss: float) -> None:
        self._losses.append((step, loss))

    def recent(self, count: int = 25) -> float:
        """Mean loss of the last steps."""
        return mean([loss for _, loss in self._losses[-count:]])

    def line(self, step: int, speed: float, seconds: float) -> str:
        """`speed` in tokens per second."""
        left = seconds / max(1, len(self._losses)) * (self._steps - step)
        return (
            f"step {step}/{self._steps}  loss {self.recent():.4f}  {speed:,.0f} tokens/s  "
            f"{seconds / 60:.1f} min, about {left / 60:.1f} more"
        )

    def drawn(self) -> str:
        """Loss downwards from its highest, steps to the right; the scale is the square root."""
        if not self._losses:
            return ""
        size = -(-len(self._losses) // _COLUMNS)
        means = [
            mean([loss for _, loss in self._losses[start : start + size]])
            for start in range(0, len(self._losses), size)
        ]
        highest = max(means)
        heights = [round((one / highest) ** 0.5 * (_ROWS - 1)) for one in means]
        rows = []
        for height in range(_ROWS - 1, -1, -1):
            label = (height / (_ROWS - 1)) ** 2 * highest
            marks = "".join("*" if one == height else " " for one in heights)
            rows.append(f"{label:8.3f} |{marks}".rstrip())
        first, last = self._losses[0][0], self._losses[-1][0]
        return "\n".join([*rows, f"{'':8} +{'-' * len(means)}", f"{'':10}step {first} to {last}"])


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
