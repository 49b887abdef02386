"""The gateway's process: `python -m gateway` or `baton gateway`."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable

import click

from baton.core.collector import without_collector
from baton.core.errors import SettingsError
from baton.settings import options
from baton.telemetry.logs import setup_logging
from gateway.settings import GatewaySettings

logger = logging.getLogger(__name__)

try:  # not built for every platform
    import uvloop
except ImportError:
    LOOP_FACTORY: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    LOOP_FACTORY = uvloop.new_event_loop


def run(settings: GatewaySettings) -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = settings.with_first()
    settings.check()
    setup_logging(settings.log_level, settings.log_format, process="gateway")
    if settings.uvicorn_log_level is not None:
        logging.getLogger("uvicorn").setLevel(settings.uvicorn_log_level.upper())
    with without_collector():  # here, because its modules are most of the start
        from gateway.answers import request_log
        from gateway.server import serve
    if settings.enable_log_requests:  # whatever the level of the rest
        request_log.logger.setLevel(logging.INFO)
    located = settings.located(logger.info)  # here, where an interrupt ends a download
    tracer = settings.tracing.start("gateway")
    try:
        with asyncio.Runner(loop_factory=LOOP_FACTORY) as runner:
            runner.run(serve(located, tracer))
    finally:
        if tracer is not None:
            tracer.close()


@click.command()
@options(GatewaySettings)
def main(settings: GatewaySettings) -> None:
    """Serves the OpenAI API and keeps the registry of workers."""
    try:
        run(settings)
    except SettingsError as error:
        click.echo(f"baton gateway: {error}", err=True)
        sys.exit(os.EX_CONFIG)  # which says that starting again as it is cannot help


if __name__ == "__main__":
    main()
