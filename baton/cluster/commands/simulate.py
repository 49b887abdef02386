"""`baton simulate`: what a cluster that is not there would do under the load of a trace."""

from pathlib import Path

import click

from baton.cluster.outcomes import Objectives, summarise
from baton.cluster.outcomes.files import check_writable, write_json, write_plot
from baton.cluster.outcomes.report import as_json, as_text
from baton.cluster.outcomes.summary import by_tenant
from baton.cluster.simulator.profile import read_profile
from baton.cluster.simulator.simulation import Cluster
from baton.cluster.simulator.simulation import simulate as run
from baton.cluster.simulator.tenant import tenants_of
from baton.cluster.trace_options import Cut, trace_options
from gateway.placing.policies import AUTO, POLICIES


@click.command("simulate")
@click.argument("trace", metavar="TRACE")
@click.option("--prefill", default=1, show_default=True, type=click.IntRange(0), help="Workers.")
@click.option("--decode", default=1, show_default=True, type=click.IntRange(1), help="Workers.")
@click.option(
    "--profile",
    required=True,
    help="What their steps take: a file of YAML or JSON, or the name of one that is shipped.",
)
@trace_options
@click.option(
    "--tenants-file",
    type=click.Path(path_type=Path),
    help="As the gateway's: the tenants' weights and limits.",
)
@click.option(
    "--tenant",
    "named",
    multiple=True,
    metavar="NAME[:SHARE[:PRIORITY]]",
    help="Gives a share of the requests to this tenant, and a priority to them (default: equal shares to all of "
    "--tenants-file; without a file none has limits). Repeatable.",
)
@click.option(
    "--placement-policy",
    default=AUTO,
    show_default=True,
    type=click.Choice(POLICIES),
    help="As the gateway's.",
)
@click.option(
    "--max-queued-requests",
    default=1000,
    show_default=True,
    type=click.IntRange(0),
    help="As the gateway's.",
)
@click.option(
    "--max-queue-seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="As the gateway's.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report here.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path), help="Write charts, as SVG.")
def simulate(
    trace: str,
    prefill: int,
    decode: int,
    profile: str,
    cut: Cut,
    objectives: Objectives,
    tenants_file: Path | None,
    named: tuple[str, ...],
    placement_policy: str,
    max_queued_requests: int,
    max_queue_seconds: float,
    json_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Place the requests of TRACE on workers that are modelled, by the gateway's own code and under
    a virtual clock, and report what their clients would have seen, of each tenant by itself.

    TRACE is as for `baton replay`. Equal arguments give equal results, byte for byte.
    """
    check_writable(json_file, plot_file)
    cluster = Cluster(
        *(prefill, decode, read_profile(profile), placement_policy),
        *(max_queued_requests, max_queue_seconds),
    )
    tenants = tenants_of(named, tenants_file)
    simulated = run(cut.trace(trace), cluster, objectives, cut.seed, tenants=tenants)
    whole = summarise(simulated.outcomes, objectives)
    parts = by_tenant(simulated.outcomes, objectives)
    for line in as_text(whole, parts, objectives):
        click.echo(line)
    if json_file is not None:
        told = {"trace": trace, "drifts": simulated.drifts, "all": as_json(whole)}
        named_parts = {name: as_json(part) for name, part in parts.items()}
        write_json(json_file, {**told, "tenants": named_parts})
    if plot_file is not None:
        write_plot(plot_file, simulated.outcomes, objectives)
