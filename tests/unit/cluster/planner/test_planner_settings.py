"""What a planner may be told, and what is refused."""

from typing import Any

import pytest

from baton.cluster.planner.goals import Goals, Limits
from baton.cluster.planner.settings import PlannerSettings
from baton.cluster.planner.size import Size
from baton.core.errors import SettingsError

ON: dict[str, Any] = {"planner": "on", "slo_ttft_ms": 500.0}


def test_without_other_word_roles_change_and_no_worker_is_added() -> None:
    settings = PlannerSettings(**ON)
    settings.check()
    assert settings.goals == Goals(0.5, None)
    assert settings.limits(Size(1, 2)) == Limits(Size(1, 1), Size(3, 3), 3)
    assert settings.limits(Size(0, 2)).least == Size(0, 1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"planner": "on"}, "--slo-ttft-ms or --slo-itl-ms"),
        ({"slo_itl_ms": 20.0}, "--slo-itl-ms does nothing without --planner"),
        ({"max_workers": 4}, "--max-workers does nothing without --planner"),
        (ON | {"slo_itl_ms": 0.0}, "--slo-itl-ms must be a positive number"),
        (ON | {"planner_seconds": 31.0}, "--planner-seconds must be 30 at most"),
    ],
)
def test_what_does_nothing_or_cannot_be_is_one_sentence(given: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        PlannerSettings(**given).check()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"min_decode_workers": 0}, "--min-decode-workers 1"),
        ({"min_decode_workers": 4}, "above its most"),
        ({"max_workers": 2, "max_prefill_workers": 3}, "outside the planner's limits"),
        ({"max_decode_workers": 1}, "outside the planner's limits"),
    ],
)
def test_limits_that_the_cluster_is_not_in_are_refused(given: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        PlannerSettings(**ON, **given).limits(Size(1, 2))
