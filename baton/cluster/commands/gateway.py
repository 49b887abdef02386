"""`baton gateway`: the OpenAI endpoint alone, in this process."""

import click

from baton.settings import SettingsCommand, options
from gateway.settings import GatewaySettings


@click.command("gateway", cls=SettingsCommand)
@options(GatewaySettings)
def gateway(settings: GatewaySettings) -> None:
    """Run one gateway; workers join it at its registry."""
    from gateway.__main__ import run  # brings the tokenizer and the web server along

    run(settings)
