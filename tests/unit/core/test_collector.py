"""A server that has what it needs is looked through seldom, and what it has then not at all."""

import gc
from collections.abc import Iterator

import pytest

from baton.core.collector import YOUNG, collect_seldom


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.mark.usefixtures("_as_it_was")
def test_what_is_there_stays_and_what_comes_is_collected_later() -> None:
    kept = [[number] for number in range(1000)]
    collect_seldom()
    assert gc.get_freeze_count() > len(kept)
    assert not any(entry is kept for entry in gc.get_objects())
    assert gc.get_threshold()[0] == YOUNG
    assert gc.isenabled()
