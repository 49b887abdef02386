"""`baton gateway`: the OpenAI endpoint alone, in this process."""

from dataclasses import asdict

import click

from baton.settings import options
from gateway.settings import GatewaySettings


@click.command("gateway")
@options(GatewaySettings)
def gateway(settings: GatewaySettings) -> None:
    """Run one gateway; workers join it at its registry."""
    from gateway.__main__ import main  # brings the tokenizer and the web server along

    click.get_current_context().invoke(main, **asdict(settings))
