"""A cost that is a sum of non-negative parts, learned from what it was, sample by sample. Pure."""

from collections.abc import Sequence

FORGETTING = 0.98  # of what was learned per sample: about the last fifty count
SOON, SELDOM = 20, 8  # samples up to which every one is solved for; and how many at once later
PRIOR_WEIGHT = 0.003  # samples that the shape of the prior counts for

Vector = tuple[float, ...]


class Fit:
    """Least squares of relative errors, with forgetting: y = x . theta, theta >= 0.

    A sample is divided by what was measured or what was predicted, whichever is more. So one that
    took a hundred times too long (a pause of the machine) moves the fit by a hundredth of what an
    ordinary one does, while a lasting change is learned as fast as the old is forgotten.

    What the samples do not tell apart, or do not show at all, is as in the prior, scaled to their
    level: a prior of the right shape needs no right level.
    """

    def __init__(self, prior: Sequence[float], forgetting: float = FORGETTING) -> None:
        self.prior = tuple(prior)  # another one counts from the next solution on
        self._forgetting = forgetting
        size = len(self.prior)
        self._products = [[0.0] * size for _ in range(size)]
        self._moments = [0.0] * size
        self._level = 1.0  # of the prior, by the samples
        self._told = 0  # samples that theta knows of
        self.theta: Vector = self.prior
        self.samples = 0

    @property
    def shape(self) -> Vector:
        """As a prior for what is like it: what is nothing here may be something there."""
        least = [0.1 * self._level * part for part in self.prior]
        return tuple(max(*pair) for pair in zip(self.theta, least, strict=True))

    def add(self, x: Sequence[float], y: float) -> None:
        scale = max(y, sum(a * b for a, b in zip(x, self.theta, strict=True)), 1e-9)
        row = [value / scale for value in x]
        target = y / scale
        keep = self._forgetting
        for i, left in enumerate(row):
            products = self._products[i]
            for j, right in enumerate(row):
                products[j] = products[j] * keep + left * right
            self._moments[i] = self._moments[i] * keep + left * target
        self.samples += 1
        if self.samples < SOON or self.samples - self._told >= SELDOM:
            self._told = self.samples
            self.theta = self._solved()

    def _solved(self) -> Vector:
        prior = self.prior
        size = range(len(prior))
        curve = sum(prior[i] * self._products[i][j] * prior[j] for i in size for j in size)
        if curve <= 0.0:
            return prior
        level = self._level = sum(prior[i] * self._moments[i] for i in size) / curve
        scale = [level * value for value in prior]
        matrix = [[self._products[i][j] * scale[i] * scale[j] for j in size] for i in size]
        right = [self._moments[i] * scale[i] + PRIOR_WEIGHT for i in size]
        for i in size:
            matrix[i][i] += PRIOR_WEIGHT
        factors = non_negative(matrix, right)
        return tuple(scale[i] * factors[i] for i in size)


def non_negative(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """The solution of a positive definite system whose most negative part is set to zero, and so on
    with the rest until none is negative.
    """
    kept = list(range(len(right)))
    while True:
        part = solved([[matrix[i][j] for j in kept] for i in kept], [right[i] for i in kept])
        worst = min(range(len(kept)), key=part.__getitem__)
        if part[worst] >= 0.0 or len(kept) == 1:
            break
        del kept[worst]
    whole = [0.0] * len(right)
    for i, value in zip(kept, part, strict=True):
        whole[i] = max(0.0, value)
    return whole


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """By elimination, of a positive definite system. Both are used up."""
    size = len(right)
    for i in range(size):
        for row in range(i + 1, size):
            factor = matrix[row][i] / matrix[i][i]
            for column in range(i, size):
                matrix[row][column] -= factor * matrix[i][column]
            right[row] -= factor * right[i]
    solution = [0.0] * size
    for i in reversed(range(size)):
        known = sum(matrix[i][j] * solution[j] for j in range(i + 1, size))
        solution[i] = (right[i] - known) / matrix[i][i]
    return solution
