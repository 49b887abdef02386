"""Options of whoever loads a server and shows what came of it."""

from collections.abc import Callable
from typing import Any

import click


def _in_order(
    ctx: click.Context, param: click.Parameter, value: tuple[int, int]
) -> tuple[int, int]:
    low, high = value
    if not 0 <= low < high:
        raise click.BadParameter("LOW must be below HIGH")
    return value


_OPTIONS = (
    click.option(
        "--token-ids",
        nargs=2,
        type=int,
        default=(300, 2500),
        show_default=True,
        callback=_in_order,
        help="Prompts draw from LOW up to HIGH.",
    ),
    click.option("--timeout", default=300.0, show_default=True, help="Seconds for one request."),
    click.option("--seed", type=int, help="Of the prompts; drawn and printed if left out."),
    click.option("--json", "as_object", is_flag=True, help="One JSON object instead of text."),
)


def load_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--token-ids, --timeout, --seed and --json."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
