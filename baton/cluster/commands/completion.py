"""`baton completion`: what a shell needs to complete our commands and flags."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  eval "$(baton completion bash)"        in ~/.bashrc
    zsh:   eval "$(baton completion zsh)"         in ~/.zshrc
    fish:  baton completion fish | source         in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "baton", "_BATON_COMPLETE").source())
