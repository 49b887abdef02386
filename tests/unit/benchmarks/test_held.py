"""What a worker holds, as its metrics page tells it, and when it held nothing any more."""

import pytest

from benchmarks.held import INCOMING, REST, Held, Vigil, held_of

PAGE = """\
# HELP baton_pulls_open Hand-offs on their way here.
# TYPE baton_pulls_open gauge
baton_pulls_open {pulls}
baton_pulling_blocks {filling}
baton_reserved_blocks {reserved}
vllm:num_requests_running{{engine="0",model_name="m"}} 3.0
vllm:num_requests_waiting{{engine="0",model_name="m"}} 0.0
vllm:kv_cache_usage_perc{{engine="0",model_name="m"}} 0.25
"""


def page(pulls: int = 0, filling: int = 0, reserved: int = 0) -> list[str]:
    return PAGE.format(pulls=pulls, filling=filling, reserved=reserved).splitlines()


def test_blocks_are_added_up_and_other_gauges_only_told() -> None:
    assert held_of(page(2, 12, 30), INCOMING) == Held(42, True)
    assert held_of(page(2), INCOMING) == Held(0, True)
    assert held_of(page(), INCOMING) == Held(0, False)
    assert held_of(page(), REST) == Held(0, True)


def test_a_page_without_the_gauge_is_not_taken_for_nothing() -> None:
    with pytest.raises(KeyError):
        held_of(page(), ("baton_leased_blocks",))


def test_the_time_is_that_of_the_last_return_of_anything() -> None:
    vigil = Vigil(died=10.0)
    something, nothing = Held(8, True), Held(0, False)
    for asked, held in ((10.01, something), (10.02, nothing), (10.03, something), (10.05, nothing)):
        assert vigil.note(asked, asked + 0.005, held) is None
    assert vigil.note(10.3, 10.305, nothing) is None
    told = vigil.note(10.5, 10.505, nothing)
    assert told is not None
    assert told.time == pytest.approx(0.055)
    assert told.resolution == pytest.approx(0.025)


def test_blocks_that_are_gone_while_a_request_still_runs_are_not_all() -> None:
    vigil = Vigil(died=0.0)
    assert all(vigil.note(at, at, Held(0, True)) is None for at in (0.1, 0.5, 1.0, 5.0))
