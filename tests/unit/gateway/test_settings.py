"""What a gateway refuses before it starts."""

import pytest

from baton.core.errors import SettingsError
from baton.registry.redis_settings import RedisSettings
from gateway.settings import GatewaySettings

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
    wrong = GatewaySettings(model="m", structured_outputs_config={"backend": "xgrammar"})

    with pytest.raises(SettingsError, match="--structured-outputs-config"):
        wrong.check()
    GatewaySettings(model="m", structured_outputs_config={"backend": "guidance"}).check()
