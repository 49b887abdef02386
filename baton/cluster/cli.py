"""The `baton` command. Each subcommand is imported only when it is asked for."""

import importlib
import os
from difflib import get_close_matches
from typing import Any

import click

from baton import __version__
from baton.cluster.entry import ending_quietly
from baton.core.errors import BatonError, SettingsError

# gRPC's core writes lines of its own to stderr; whatever fails reaches us as an error too, and is
# told in our words. It reads this when it is first imported, here or in the processes we start.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

COMMANDS = {  # name: module in baton.cluster.commands, where it has the module's name
    "up": "up",
    "gateway": "gateway",
    "prefill": "prefill",
    "decode": "decode",
    "encode": "encode",
    "chat": "chat",
    "status": "status",
    "top": "top",
    "drain": "drain",
    "flip": "flip",
    "tenants": "tenants",
    "replay": "replay",
    "simulate": "simulate",
    "plan": "plan",
    "planner": "planner",
    "make-model": "make_model",
    "build-kernels": "build_kernels",
    "completion": "completion",
}


class WrongSettings(click.ClickException):
    exit_code = os.EX_CONFIG  # which says that starting again as it is cannot help


class LazyGroup(click.Group):
    """Errors made for the reader end the command with one sentence instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = COMMANDS.get(cmd_name)
        if name is None:
            return None
        with ending_quietly():
            module = importlib.import_module(f"baton.cluster.commands.{name}")
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = not args or args[0] in COMMANDS or ctx.resilient_parsing
        if not known and (near := get_close_matches(args[0], COMMANDS)):
            ctx.fail(f"No such command '{args[0]}'. (Did you mean {' or '.join(near)}?)")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BatonError as error:
            kind = WrongSettings if isinstance(error, SettingsError) else click.ClickException
            raise kind(str(error)) from error


@click.group(cls=LazyGroup)
@click.version_option(__version__, prog_name="baton")
def main() -> None:
    """Serve language models with prefill and decode on separate workers."""


if __name__ == "__main__":
    main(prog_name="baton")
