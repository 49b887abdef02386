"""`baton status`: who serves, and how busy they are."""

import json

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.status_page import fetch_status, table


@click.command("status")
@endpoint_options
@click.option("--json", "as_json", is_flag=True, help="What the gateway says, as JSON.")
def status(url: str, api_key: str, cacert: str, as_json: bool) -> None:
    """Show the workers of a running cluster, their load and KV use."""
    page = fetch_status(ApiClient(url, api_key, cacert))
    for line in [json.dumps(page, indent=2)] if as_json else table(page):
        click.echo(line)
