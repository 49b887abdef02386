"""`baton build-kernels`: what workers build at their first start, ahead of it, as for an image."""

import os

import click

from baton.core.errors import SettingsError
from baton.engine.kernel_build import KernelError, default_recipe, recipes_of_all_levels
from baton.engine.kernel_build import build_kernels as build
from baton.native import library
from kv_transfer.stream_copy import SOURCE


@click.command("build-kernels")
@click.option(
    "--all-levels",
    is_flag=True,
    help="For every CPU of this architecture, so that an image needs no compiler.",
)
def build_kernels(all_levels: bool) -> None:
    """Build the CPU kernels for this machine, unless they are there."""
    own = default_recipe(os.environ)
    try:
        for recipe in recipes_of_all_levels(os.environ) if all_levels else [own]:
            build(recipe, click.echo)
        library.build(SOURCE, own.workshop, click.echo)
    except KernelError as error:
        raise SettingsError(f"the CPU kernels cannot be built: {error}") from error
    click.echo(f"the CPU kernels are in {own.workshop.cache}")
