"""`--kv-transport` offers what the hand-off speaks, and refuses what is not installed."""

from dataclasses import fields

import pytest

from baton.core.errors import SettingsError
from baton.worker.settings import WorkerSettings
from kv_transfer.transports import nixl_agent
from kv_transfer.transports.negotiate import CHOICES


def test_the_choices_are_those_of_the_hand_off() -> None:
    (choice,) = (field for field in fields(WorkerSettings) if field.name == "kv_transport")
    assert CHOICES in choice.metadata.values() or any(
        getattr(value, "choices", None) == CHOICES for value in choice.metadata.values()
    )


def test_nixl_that_is_not_installed_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nixl_agent, "importable", lambda: False)
    with pytest.raises(SettingsError, match=r"--kv-transport nixl: .*pip install"):
        WorkerSettings(model="m", kv_transport="nixl").check()
    WorkerSettings(model="m", kv_transport="grpc").check()
