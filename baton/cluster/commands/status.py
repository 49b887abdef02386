"""`baton status`: who serves, and how busy they are."""

import json

import click

from baton.cluster.status_page import fetch_status, table


@click.command("status")
@click.option(
    "--url",
    default="http://127.0.0.1:8000",
    envvar="BATON_URL",
    show_default=True,
    show_envvar=True,
    help="Of the gateway.",
)
@click.option("--json", "as_json", is_flag=True, help="What the gateway says, as JSON.")
def status(url: str, as_json: bool) -> None:
    """Show the workers of a running cluster, their load and KV use."""
    page = fetch_status(url)
    for line in [json.dumps(page, indent=2)] if as_json else table(page):
        click.echo(line)
