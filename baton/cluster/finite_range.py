"""A number of the command line."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """click's own lets nan through, which is neither below nor above any bound, and inf."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
