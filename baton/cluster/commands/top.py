"""`baton top`: the cluster live in a terminal, as the status page shows it."""

import time
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from baton.cluster.api_client import ApiClient, ApiError
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.finite_range import FiniteRange
from baton.cluster.status_page import fetch_status
from baton.cluster.top_view import view
from baton.core.errors import UnavailableError

_WIDE = 200  # columns, where no terminal says how many there are


@click.command("top")
@endpoint_options
@click.option("--once", is_flag=True, help="Print it once and end, also where no terminal is.")
@click.option(
    "--interval",
    type=FiniteRange(0.2),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
def top(once: bool, interval: float, url: str, api_key: str, cacert: str) -> None:
    """Show workers, links and the latest requests of a running cluster, live. Ctrl-C leaves."""
    client = ApiClient(url, api_key, cacert)
    console = Console()
    if once:
        if not console.is_terminal:
            console = Console(width=_WIDE)
        console.print(view(_look(client)))
    elif console.is_terminal:
        _follow(client, console, interval)
    else:
        raise click.UsageError("there is no terminal to redraw; --once prints it once")


def _follow(client: ApiClient, console: Console, interval: float) -> None:
    """Until Ctrl-C. A gateway that goes away is waited for; one that was never there is not."""
    state, trouble = _look(client), ""
    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(view(state, trouble, console.height), refresh=True)
                time.sleep(interval)
                try:
                    state, trouble = _look(client), ""
                except UnavailableError as error:
                    trouble = f"{error}; what you see is how it was"
    except KeyboardInterrupt:
        return


def _look(client: ApiClient) -> dict[str, Any]:
    """Without `requests` where the gateway does not tell them. Raises UnavailableError."""
    try:
        state = client.get("/ui/state")
    except ApiError as error:
        if error.status != 404:
            raise
        return fetch_status(client)
    if not isinstance(state, dict) or not isinstance(state.get("workers"), list):
        raise UnavailableError(f"the server at {client.url} is no baton gateway")
    return state
