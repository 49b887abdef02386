"""The PromQL that panels are made of. All of it is within the namespace that the reader has chosen."""

NAMESPACE = (
    'namespace=~"$namespace"'  # off Kubernetes there is no such label; ".*" matches that too
)
SCOPE = f'job=~"baton-.*",{NAMESPACE}'  # vLLM's names are also on the pages of others
WINDOW = "$__rate_interval"  # Grafana's: a few scrapes wide, or what a pixel covers
# A worker's page says whose it is; the scraper's labels differ from one installation to the next.
WORKER = f"baton_worker_info{{{SCOPE}}}"


def of(name: str, **labels: str) -> str:
    """The series of one metric; labels are matched as regular expressions."""
    scope = NAMESPACE if "job" in labels else SCOPE
    matchers = [scope, *(f'{label}=~"{value}"' for label, value in labels.items())]
    return f"{name}{{{','.join(matchers)}}}"


def total(expr: str, *by: str) -> str:
    return f"sum{_by(by)}({expr})"


def rate(name: str, *by: str, **labels: str) -> str:
    """Per second, summed over all processes."""
    return total(f"rate({of(name, **labels)}[{WINDOW}])", *by)


def quantile(q: float, histogram: str, *by: str) -> str:
    return f"histogram_quantile({q:g}, {rate(f'{histogram}_bucket', 'le', *by)})"


def buckets(histogram: str) -> str:
    """How many observations fell into each, per second: what a heatmap shows."""
    return rate(f"{histogram}_bucket", "le")


def mean(histogram: str, *by: str) -> str:
    return f"{rate(f'{histogram}_sum', *by)} / {rate(f'{histogram}_count', *by)}"


def share(part: str, whole: str) -> str:
    """0 to 1; nothing while the whole is nothing."""
    return f"({part}) / ({whole} > 0)"


def by_worker(expr: str) -> str:
    """A worker's series, with `worker_id` and `role`."""
    return f"{expr} * on (job, instance) group_left (worker_id, role) {WORKER}"


def by_role(expr: str) -> str:
    """Summed over the workers of each role."""
    return total(by_worker(expr), "role")


def per_second(name: str) -> str:
    """Of each series by itself."""
    return f"rate({of(name)}[{WINDOW}])"


def alerts(**labels: str) -> str:
    """Of Baton, pending and firing."""
    matchers = [NAMESPACE, 'alertname=~"Baton.*"', *(f'{k}="{v}"' for k, v in labels.items())]
    return f"ALERTS{{{','.join(matchers)}}}"


def or_zero(expr: str) -> str:
    """For what has no series before it first happened."""
    return f"{expr} or vector(0)"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)}) " if labels else ""
