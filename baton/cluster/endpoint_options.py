"""Where the gateway is and what it wants to see: the options of every command that asks it."""

from collections.abc import Callable
from typing import Any

import click

from baton.settings.values import Word


def endpoint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --url, --api-key and --cacert as `url`, `api_key` and `cacert`."""
    for option in (
        click.option(
            "--cacert",
            default="",
            envvar="BATON_CACERT",
            show_envvar=True,
            help="PEM file to trust, for a gateway whose certificate is your own.",
        ),
        click.option(
            "--api-key",
            default="",
            envvar=["BATON_API_KEY", "VLLM_API_KEY"],
            show_envvar=True,
            callback=_first,
            help="If the gateway asks for one. The variable is not seen by others, the flag is.",
        ),
        click.option(
            "--url",
            default="http://127.0.0.1:8000",
            envvar="BATON_URL",
            show_default=True,
            show_envvar=True,
            callback=_gateway,
            help="Of the gateway: http://, https:// or unix:PATH.",
        ),
    ):
        command = option(command)
    return command


def _first(_: click.Context, __: click.Parameter, text: str) -> str:
    """The variable may hold the gateway's whole list."""
    return next(iter(Word().split_envvar_value(text)), "")


def _gateway(_: click.Context, __: click.Parameter, url: str) -> str:
    """Also of the endpoint as clients of OpenAI want it, and as `baton up` says it."""
    return url.rstrip("/").removesuffix("/v1") if not url.startswith("unix:") else url
