"""What `baton up` refuses before it starts anything."""

from pathlib import Path
from typing import Any

import pytest

from baton.cluster.up_settings import UpSettings
from baton.core.errors import SettingsError
from baton.model_source import HubSettings
from baton.settings import settings_of
from baton.worker.settings import WorkerSettings
from gateway.http.tls import TlsSettings
from gateway.settings import GatewaySettings


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("prefill_workers", -1, "--prefill-workers must be at least 0, not -1"),
        ("decode_workers", 0, "--decode-workers must be at least 1, not 0"),
        ("encode_workers", -1, "--encode-workers must be at least 0, not -1"),
        ("threads", 0, "--threads must be at least 1"),
        ("start_seconds", float("nan"), "--start-seconds must be a positive number"),
        ("worker", WorkerSettings(hub=HubSettings(revision="v1")), "--revision needs --model"),
    ],
)
def test_a_wrong_value_is_one_sentence(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        UpSettings(**{field: value})


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("/no/such/folder", "there is no such folder"),
        (__file__, "is a file, give its folder"),
        (str(Path(__file__).parent), r"no config\.json"),
    ],
)
def test_a_model_that_is_none_is_one_sentence(model: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        UpSettings(model=model).located(print)


def test_a_located_model_keeps_the_name_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    located = UpSettings(model=f"{tmp_path}/.").located(print)
    assert located.gateway.served_model_name == (f"{tmp_path}/.",)
    assert located.model == str(tmp_path)


def test_a_cluster_may_do_without_prefill_workers() -> None:
    assert UpSettings(prefill_workers=0).num_workers == 1


def test_the_values_of_gateway_and_workers_are_checked_too() -> None:
    with pytest.raises(SettingsError, match="--block-size must be a multiple of 16, not 24"):
        UpSettings(worker=WorkerSettings(block_size=24))
    with pytest.raises(SettingsError, match="--port must be between 0 and 65535, not 65536"):
        UpSettings(gateway=GatewaySettings(port=65536))


def test_what_the_plan_decides_is_no_flag_of_up() -> None:
    flags = {one.flag for one in settings_of(UpSettings)}
    assert {"--model", "--port", "--max-num-seqs", "--api-key", "--ssl-certfile"} <= flags
    assert not {"--registry", "--worker-id", "--ready-fd", "--metrics-port"} & flags


def test_another_model_brings_its_name_unless_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    told = UpSettings().serving(str(tmp_path), "tiny")
    assert (told.model, told.gateway.served_model_name) == (str(tmp_path), ("tiny",))
    named = UpSettings(gateway=GatewaySettings(served_model_name=("mine",)))
    assert named.serving(str(tmp_path), "tiny").gateway.served_model_name == ("mine",)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"prometheus_port": 9090}, "does nothing without --with-prometheus"),
        ({"with_prometheus": True, "prometheus_port": 65536}, "must be a port, not 65536"),
        (
            {"with_prometheus": True, "gateway": GatewaySettings(uds="/run/baton.sock")},
            "drop --uds",
        ),
        (
            {
                "with_prometheus": True,
                "gateway": GatewaySettings(
                    tls=TlsSettings("my.crt", ssl_ca_certs="ca.crt", ssl_cert_reqs=2)
                ),
            },
            "has no certificate to show",
        ),
    ],
)
def test_a_prometheus_that_could_not_scrape_is_refused(
    settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        UpSettings(**settings)


def test_encode_workers_are_processes_and_share_the_cores() -> None:
    assert UpSettings(encode_workers=2).num_workers == 4
    with pytest.raises(SettingsError, match="baton encode"):
        UpSettings(encode_workers=1, orchestrator="ray")
