"""docs/metrics.md, made of the families themselves: `python -m baton.cluster.metrics_page`."""

from collections.abc import Iterable

import click

from baton.telemetry.family import Family, Kind
from baton.telemetry.worker_families import ENCODER_FAMILIES, WORKER_FAMILIES
from gateway.metric_families import GATEWAY_FAMILIES

_HEAD = """\
# Metrics

This page is made from the code: `make metrics-page`.

Every process has a page of its own, in Prometheus' text format: a gateway at `/metrics` of its HTTP
port, a worker at `/metrics` of `--metrics-port`, which `GET /status` names (`metrics_url`). Neither asks
for an API key.

**vLLM's names.** What vLLM counts has vLLM's name and labels here, so that dashboards, autoscalers and
routers that know vLLM read a cluster of this project as well. A request is counted by its gateway,
what engines do by each worker, so nothing is counted twice: sum over all pages for the cluster.

- `model_name` is the first of `--served-model-name`, of [several models](several-models.md) each its own; `engine` is always `0`.
- The names end as Prometheus wants it: a counter in `_total`; a histogram is `_bucket`, `_sum` and `_count`.
- Series with a label of a fixed set of values are there from the start, at 0.
- Tokens of a stream are counted once a second and at its end.
- [monitoring.md](monitoring.md) has dashboards and rules for all of it.

**Not here**, because nothing would be true of it:

- `vllm:nixl_*` where NIXL moves nothing, which is everywhere but with `--kv-transport nixl`; the hand-off as a
  whole is `baton_kv_transfer_*`, whatever moves its bytes. With NIXL too there is no
  `vllm:nixl_post_time_seconds`, `_num_descriptors` or `_num_failed_notifications`: a read is posted and waited for
  in one, and tells nobody. What they call `_num_kv_expired_reqs` is `baton_handoffs_total{result="expired"}`.
- `vllm:lora_requests_info`, `vllm:spec_decode_*`, `vllm:engine_sleep_state`: there are no
  adapters, draft models or sleeping engines.
- `vllm:gpu_cache_usage_perc`, `vllm:gpu_prefix_cache_*`, `vllm:time_per_output_token_seconds`: vLLM's
  older names of families that are here under their newer ones.
- `http_request_size_bytes`, `http_response_size_bytes`: counting the bytes of streams would cost time on
  every token.
"""

_ENCODERS = (
    "## An encode worker's\n\nOf the families above it has "
    + ", ".join(f"`{one.shown_name}`" for one in ENCODER_FAMILIES if one in WORKER_FAMILIES)
    + "; requests running and waiting are images there, leased blocks hold 16 tokens of an image each. "
    "And:\n"
)
_TITLES = "| name | type | labels | |\n|---|---|---|---|\n"


def page() -> str:
    return "\n".join(
        [
            _HEAD,
            "## A gateway's\n",
            _tables(GATEWAY_FAMILIES),
            "## A worker's\n",
            _tables(WORKER_FAMILIES),
            _ENCODERS,
            _table(one for one in ENCODER_FAMILIES if one not in WORKER_FAMILIES),
        ]
    )


def _tables(families: Iterable[Family]) -> str:
    whole = [*families]
    ours = [one for one in whole if one.name.startswith("baton_")]
    others = [one for one in whole if one not in ours]
    return "\n".join([_table(others), _table(ours)])


def _table(families: Iterable[Family]) -> str:
    return _TITLES + "".join(map(_row, families))


def _row(family: Family) -> str:
    labels = ", ".join(f"`{name}`" for name in family.label_names)
    help = " ".join(filter(None, (family.only, family.help)))
    if family.kind is Kind.HISTOGRAM:
        first, last = family.bounds[0], family.bounds[-1]
        help += f" Buckets from {first:g} to {last:g}."
    cells = (f"`{family.shown_name}`", family.kind.value, labels, help)
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    click.echo(page(), nl=False)
