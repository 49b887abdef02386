"""`baton replay`: what a running cluster does under the load of a trace."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.outcomes import Objectives, summarise
from baton.cluster.outcomes.files import check_writable, write_json, write_plot
from baton.cluster.outcomes.report import as_json, as_text
from baton.cluster.outcomes.summary import by_tenant
from baton.cluster.replay.replay import Replayed, check_lengths, without_too_long
from baton.cluster.replay.replay import replay as run
from baton.cluster.replay.sender import Manners
from baton.cluster.replay.target import met
from baton.cluster.replay.tenant import Tenant, tenant_of
from baton.cluster.trace_options import Cut, trace_options
from baton.cluster.traces import Trace
from baton.cluster.traces.tenancy import check_names

INTERRUPTED = 130  # the exit code that shells know


@click.command("replay")
@click.argument("trace", metavar="TRACE")
@endpoint_options
@click.option("--model", help="Name of the model (default: the first that is served).")
@trace_options
@click.option(
    "--tenant",
    "tenants",
    multiple=True,
    metavar="NAME=KEY[:SHARE]",
    help="Sends a share of the requests with this API key, and reports it by itself. Repeatable.",
)
@click.option(
    "--retries",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Times that a refused request comes back, each when Retry-After says.",
)
@click.option(
    "--timeout",
    "patience",
    default=600.0,
    show_default=True,
    help="Seconds for one request, and one try.",
)
@click.option(
    "--token-ids",
    nargs=2,
    type=click.IntRange(0),
    metavar="LOW HIGH",
    help="Prompts draw from LOW up to HIGH (default: the ids of some words, by /tokenize).",
)
@click.option("--skip-too-long", is_flag=True, help="Leave out what the model cannot take.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report here.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="Write charts, as SVG.")
def replay(
    trace: str,
    cut: Cut,
    objectives: Objectives,
    tenants: tuple[str, ...],
    json_file: Path | None,
    plot_file: Path | None,
    **how: Any,
) -> None:
    """Send the requests of TRACE to a running cluster, each at its time, and report what came back.

    TRACE is a file (Mooncake's JSON lines, Azure's CSV) or is made up:

    \b
    poisson:rate=2,in=512,out=64,seconds=60
    bursts:rate=2,peak=4,every=30,lasting=5,...
    shared-prefix:rate=2,prefixes=8,prefix=2048,skew=1,...
    multi-turn:rate=0.5,turns=4,think=10,system=512,...

    Ctrl-C ends it and reports what was seen so far.
    """
    check_writable(json_file, plot_file)
    chosen = [tenant_of(text) for text in tenants] or [Tenant("all", how["api_key"])]
    check_names(chosen)
    replayed = asyncio.run(_replay(cut.trace(trace), cut.seed, chosen, objectives, **how))
    whole = summarise(replayed.outcomes, objectives)
    parts = by_tenant(replayed.outcomes, objectives)
    for line in as_text(whole, parts, objectives):
        click.echo(line)
    if json_file is not None:
        told = {"trace": trace, "interrupted": replayed.interrupted, "all": as_json(whole)}
        named = {name: as_json(part) for name, part in parts.items()}
        write_json(json_file, {**told, "tenants": named})
    if plot_file is not None:
        write_plot(plot_file, replayed.outcomes, objectives)
    if replayed.interrupted:
        sys.exit(INTERRUPTED)


async def _replay(
    trace: Trace,
    seed: int,
    tenants: list[Tenant],
    objectives: Objectives,
    *,
    url: str,
    api_key: str,
    cacert: str,
    model: str | None,
    retries: int,
    patience: float,
    token_ids: tuple[int, int] | None,
    skip_too_long: bool,
) -> Replayed:
    if token_ids and token_ids[0] >= token_ids[1]:
        raise click.BadParameter("LOW must be below HIGH", param_hint="--token-ids")
    key = api_key or tenants[0].key
    target = await met(ApiClient(url, key, cacert), model, token_ids or None)
    if skip_too_long:
        trace = without_too_long(trace, target)
    check_lengths(trace, target)
    manners = Manners(patience, retries, objectives)
    click.echo(
        f"{len(trace.requests)} requests in {trace.seconds:.0f} s to {target.model} at {url}",
        err=True,
    )
    return await run(trace, target, tenants, manners, seed, sys.stderr)
