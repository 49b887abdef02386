"""What a cluster's own Prometheus is told to scrape, and with which rules."""

import json
from pathlib import Path
from typing import Any

import yaml

from baton.cluster.orchestrator import RunWorker, Stage
from baton.cluster.prometheus.configuration import (
    GATEWAY_FILE,
    RULES,
    WORKERS_FILE,
    configuration,
)
from baton.cluster.prometheus.scraped import Scraped
from baton.cluster.prometheus.targets import gateway_targets, worker_pages, worker_targets
from baton.core.worker_info import Role

PAGE = "http://127.0.0.1:4001/metrics"


def worker(worker_id: str, metrics_url: str = "") -> RunWorker:
    return RunWorker(worker_id, Role.DECODE, Stage.READY, metrics_url=metrics_url)


def test_a_worker_that_died_stays_a_target_until_it_is_there_again() -> None:
    known = worker_pages({}, [worker("decode-0", PAGE)])
    dead = worker_pages(known, [worker("decode-0")])
    assert dead == {"decode-0": PAGE}
    assert worker_pages(dead, [worker("decode-0", "http://h:2/metrics")]) == {
        "decode-0": "http://h:2/metrics"
    }


def test_a_worker_that_has_left_or_was_never_ready_is_none() -> None:
    assert worker_pages({"decode-0": PAGE}, [worker("decode-1")]) == {}


def test_targets_say_which_worker_and_which_scheme() -> None:
    assert json.loads(worker_targets({"decode-0": PAGE})) == [
        {
            "targets": ["127.0.0.1:4001"],
            "labels": {"__scheme__": "http", "worker": "decode-0"},
        }
    ]
    assert json.loads(gateway_targets("https://[::1]:8000")) == [
        {"targets": ["[::1]:8000"], "labels": {"__scheme__": "https"}}
    ]
    assert json.loads(gateway_targets("")) == []


def test_the_jobs_are_called_as_dashboards_and_rules_ask_for_them() -> None:
    told: dict[str, Any] = yaml.safe_load(configuration())
    files = {job["job_name"]: job["file_sd_configs"][0]["files"] for job in told["scrape_configs"]}
    assert files == {"baton-gateway": [GATEWAY_FILE], "baton-workers": [WORKERS_FILE]}


def test_the_rules_are_those_that_are_shipped() -> None:
    shipped = Path(__file__).parents[3] / "deploy" / "prometheus"
    assert yaml.safe_load(configuration())["rule_files"] == [str(RULES / "*.yaml")]
    assert RULES.resolve() == shipped


def test_the_files_follow_the_cluster(tmp_path: Path) -> None:
    scraped = Scraped(tmp_path)
    scraped.look("", [worker("decode-0", PAGE)])
    scraped.look("http://127.0.0.1:8000", [])
    assert json.loads((tmp_path / WORKERS_FILE).read_text()) == []
    assert "127.0.0.1:8000" in (tmp_path / GATEWAY_FILE).read_text()
    assert {path.name for path in tmp_path.iterdir()} == {WORKERS_FILE, GATEWAY_FILE}
