"""`baton plan`: how many workers of each role hold the objectives."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import click

from baton.cluster.api_client import ApiClient
from baton.cluster.endpoint_options import endpoint_options
from baton.cluster.outcomes import Objectives
from baton.cluster.outcomes.files import check_writable, write_json
from baton.cluster.planner.goals import Goals
from baton.cluster.planner.live import watch
from baton.cluster.planner.offline import conclusion, measuring, table
from baton.cluster.planner.pages import GatewayPages
from baton.cluster.planner.search import Search
from baton.cluster.planner.size import Size
from baton.cluster.planner.verdict import Verdict
from baton.cluster.simulator.profile import read_profile
from baton.cluster.simulator.simulation import Cluster
from baton.cluster.trace_options import Cut, trace_options
from baton.core.errors import SettingsError
from gateway.placing.policies import AUTO, POLICIES

_SECONDS = click.FloatRange(0.1, 30)


@click.command("plan")
@click.argument("trace", metavar="[TRACE]", required=False)
@click.option(
    "--profile",
    help="What workers' steps take: a file of YAML or JSON, or the name of one that is shipped.",
)
@click.option(
    "--live",
    is_flag=True,
    help="Look at the running cluster at --url instead, and say what its planner would do.",
)
@click.option(
    "--every",
    default=5.0,
    show_default=True,
    type=_SECONDS,
    help="Seconds between two --live looks.",
)
@click.option("--looks", type=click.IntRange(2), help="End --live after so many (default: Ctrl-C).")
@endpoint_options
@click.option(
    "--goal",
    default=0.99,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the requests that must be answered within the objectives.",
)
@click.option(
    "--max-workers",
    type=click.IntRange(2),
    help="Of both roles together (default: 64, with --live those that are there).",
)
@trace_options
@click.option(
    "--placement-policy",
    default=AUTO,
    show_default=True,
    type=click.Choice(POLICIES),
    help="As the gateway's.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all of it here.")
def plan(
    trace: str | None,
    profile: str | None,
    live: bool,
    every: float,
    looks: int | None,
    url: str,
    api_key: str,
    cacert: str,
    goal: float,
    max_workers: int | None,
    cut: Cut,
    objectives: Objectives,
    placement_policy: str,
    json_file: Path | None,
) -> None:
    """Find the fewest prefill and decode workers that hold --slo-ttft-ms and --slo-itl-ms under the
    requests of TRACE, by simulating one cluster after the other.

    TRACE is as for `baton replay`. Exit code 1: not even --max-workers hold. With --live nothing is
    simulated: what the workers of a running cluster are asked says how many are needed.
    """
    if objectives == Objectives():
        raise SettingsError("a plan needs something to hold: give --slo-ttft-ms or --slo-itl-ms")
    if live:
        if trace or profile or json_file:
            raise SettingsError("--live has no TRACE, --profile or --json")
        pages = GatewayPages(ApiClient(url, api_key, cacert))
        goals = Goals(objectives.ttft, objectives.itl)
        with suppress(KeyboardInterrupt):
            asyncio.run(watch(pages, goals, max_workers, every, looks, click.echo))
        return
    if trace is None or profile is None:
        raise SettingsError("give a TRACE and --profile, or --live for a cluster that runs")
    most = max_workers or 64
    check_writable(json_file, None)
    cluster = Cluster(1, 1, read_profile(profile), placement_policy)
    requests = cut.trace(trace)
    measure = measuring(requests, cluster, objectives, goal, cut.seed)

    def told(size: Size) -> Verdict:
        verdict = measure(size)
        click.echo(f"{size}: {verdict.reason}", err=True)
        return verdict

    search = Search(told, most)
    best = search.smallest()
    for line in [*table(search.tried, best), conclusion(search.tried, best, most)]:
        click.echo(line)
    if json_file is not None:
        tried = [
            {"prefill": one.size.prefill, "decode": one.size.decode, "within": one.verdict.good}
            | {"ttft": one.verdict.ttft, "itl": one.verdict.itl, "reason": one.verdict.reason}
            | {"whole": one.verdict.whole}
            for one in search.tried
        ]
        chosen = None if best is None else {"prefill": best.prefill, "decode": best.decode}
        write_json(json_file, {"trace": trace, "goal": goal, "best": chosen, "tried": tried})
    sys.exit(best is None)
