"""`baton chat`: talk to a running cluster."""

import sys
from typing import TextIO

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.chat_terminal import ChatTerminal
from baton.cluster.conversation import ChatOptions, Conversation
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.finite_range import FiniteRange
from baton.core.errors import UnavailableError

_PATIENCE = 600.0  # seconds without a word; a long prompt may wait for room and then be read


@click.command("chat")
@endpoint_options
@click.option("--model", default="", help="Name of the model (default: the first that is served).")
@click.option("--system", default="", help="System message.")
@click.option("--max-tokens", type=click.IntRange(1), help="Longest answer (default: what fits).")
@click.option("--temperature", type=FiniteRange(0, 2), help="0 is greedy (default: the model's).")
def chat(
    url: str,
    api_key: str,
    cacert: str,
    model: str,
    system: str,
    max_tokens: int | None,
    temperature: float | None,
) -> None:
    """Talk to a running cluster. What a pipe brings is sent as one message."""
    client = ApiClient(url, api_key, cacert, _PATIENCE)
    options = ChatOptions(model, system, max_tokens, temperature)
    conversation = Conversation(client, options)
    if sys.stdin.isatty():
        _talk(conversation, _name_of(client, model))
    else:
        _answer_once(conversation, sys.stdin)


def _talk(conversation: Conversation, name: str) -> None:
    import readline  # noqa: F401  # importing it lets `input` edit lines and remember them

    click.echo(f"{name}; /help lists commands, Ctrl-D leaves")
    ChatTerminal(conversation, input, _write, lambda line: click.echo(line, err=True)).run()


def _answer_once(conversation: Conversation, source: TextIO) -> None:
    try:
        message = source.read().strip()
        message.encode()  # for what was read by halves, as Python does in some locales
    except UnicodeError as error:
        raise click.UsageError("what came through the pipe is not UTF-8 text") from error
    if not message:
        raise click.UsageError("nothing came through the pipe to send")
    for piece in conversation.ask(message):
        _write(piece)
    _write("\n")


def _write(text: str) -> None:
    click.echo(text, nl=False)  # flushes


def _name_of(client: ApiClient, wanted: str) -> str:
    """Also tells at once, before the first question, when nobody is there or the key is wrong."""
    models = client.get("/v1/models")
    try:
        names = [str(card["id"]) for card in models["data"]]
    except (TypeError, KeyError) as error:
        raise UnavailableError(f"the server at {client.url} lists no models") from error
    if wanted and wanted not in names:
        raise UnavailableError(f"there is no model {wanted}; served: {', '.join(names)}")
    return wanted or next(iter(names), "no model")
