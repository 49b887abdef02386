"""docs/metrics.md says what the code has."""

from collections import Counter
from pathlib import Path

import pytest

from baton.cluster.metrics_page import page
from baton.telemetry import worker_families
from baton.telemetry.family import Family
from baton.telemetry.process_metrics import PROCESS_FAMILIES
from baton.telemetry.task_metrics import TASKS
from baton.telemetry.worker_families import ENCODER_FAMILIES, WORKER_FAMILIES
from gateway import metric_families
from gateway.metric_families import GATEWAY_FAMILIES

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
BOTH = {one.shown_name for one in (TASKS, *PROCESS_FAMILIES)}  # processes of either kind


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make metrics-page`"


def test_a_family_is_on_the_page_of_one_kind_of_process_and_in_its_table_once() -> None:
    counts = Counter(one.shown_name for one in (*GATEWAY_FAMILIES, *WORKER_FAMILIES))
    for name, count in counts.items():
        assert count == 1 + (name in BOTH), name
        assert page().count(f"\n| `{name}` |") == count, name


@pytest.mark.parametrize("module", [metric_families, worker_families])
def test_every_family_that_is_declared_is_listed(module: object) -> None:
    declared = [one for one in vars(module).values() if isinstance(one, Family)]
    assert {*declared} <= {*GATEWAY_FAMILIES, *WORKER_FAMILIES, *ENCODER_FAMILIES}
