"""What is decided as an engine on a device is built."""

import pytest

from baton.core.errors import SettingsError
from baton.engine.device_engine import steps_ahead


@pytest.mark.parametrize("attention", ["triton", "flash_attn"])
def test_steps_are_begun_ahead_unless_that_is_turned_off(attention: str) -> None:
    assert [steps_ahead(wish, attention) for wish in ("auto", "on", "off")] == [True, True, False]


def test_flashinfer_has_no_steps_ahead_and_says_so_where_they_are_asked_for() -> None:
    assert [steps_ahead(wish, "flashinfer") for wish in ("auto", "off")] == [False, False]
    with pytest.raises(SettingsError, match="--async-scheduling on: FlashInfer"):
        steps_ahead("on", "flashinfer")
