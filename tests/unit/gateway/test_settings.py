"""What a gateway refuses before it starts."""

import pytest

from baton.core.errors import SettingsError
from baton.registry.redis_settings import RedisSettings
from gateway.settings import GatewaySettings
from gateway.structured import config

REDIS = RedisSettings(redis_url="redis://there")


def test_a_gateway_may_meet_its_workers_in_redis() -> None:
    GatewaySettings(model="m", redis=REDIS).check()


@pytest.mark.parametrize("own", [{"registry_port": 7000}, {"registry_host": "0.0.0.0"}])
def test_with_redis_there_is_no_registry_of_its_own(own: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=r"--registry-port.*--redis-url"):
        GatewaySettings(model="m", redis=REDIS, **own).check()  # type: ignore[arg-type]


def test_a_wrong_redis_url_stops_the_start() -> None:
    redis = RedisSettings(redis_url="there:6379")
    with pytest.raises(SettingsError, match="--redis-url must be one of"):
        GatewaySettings(model="m", redis=redis).check()


def test_a_wrong_config_of_structured_output_stops_the_start() -> None:
    wrong = GatewaySettings(model="m", structured_outputs_config={"backend": "outlines"})

    with pytest.raises(SettingsError, match="--structured-outputs-config"):
        wrong.check()
    GatewaySettings(model="m", structured_outputs_config={"backend": "guidance"}).check()


@pytest.mark.parametrize("installed", [False, True])
def test_xgrammar_is_taken_where_it_is_installed(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "is_installed", lambda backend: installed)
    asked = GatewaySettings(model="m", structured_outputs_config={"backend": "xgrammar"})

    if installed:
        asked.check()
    else:
        with pytest.raises(SettingsError, match=r"baton-serving\[xgrammar\]"):
            asked.check()


@pytest.mark.parametrize("name", ["enable_request_id_headers", "enable_server_load_tracking"])
def test_what_is_always_on_may_be_asked_for_and_not_taken_away(name: str) -> None:
    GatewaySettings(model="m", **{name: True}).check()  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=f"--no-{name.replace('_', '-')}"):
        GatewaySettings(model="m", **{name: False}).check()  # type: ignore[arg-type]


def test_a_parser_of_vllms_is_refused_with_the_way_to_register_one() -> None:
    with pytest.raises(SettingsError, match=r"baton\.tool_parsers"):
        GatewaySettings(model="m", tool_parser_plugin="mine.py").check()
