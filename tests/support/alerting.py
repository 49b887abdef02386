"""Prometheus and Alertmanager as the shipped examples have them, but that nothing waits."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from baton.cluster.reserved_port import reserved_port
from tests.support.logged_process import logged_process
from tests.support.programs import needed
from tests.support.prometheus_rules import FILES, FOLDER

HOST = "127.0.0.1"
SOON = "1s"


@asynccontextmanager
async def alerting(
    folder: Path, pages: Mapping[str, Sequence[str]], pagers: str
) -> AsyncIterator[str]:
    """URL of an Alertmanager that tells the webhooks at `pagers`, and that a Prometheus tells which
    scrapes `pages`: HOST:PORT by job.
    """
    manager = needed("prometheus-alertmanager", "prometheus-alertmanager")
    prometheus = needed("prometheus", "prometheus")
    with reserved_port(HOST) as port, reserved_port(HOST) as asked:
        routes = _written(folder / "alertmanager.yml", _impatient_routes(pagers))
        telling = logged_process(
            *(manager, f"--config.file={routes}", f"--storage.path={folder / 'alerts'}"),
            *(f"--web.listen-address={HOST}:{port}", "--cluster.listen-address="),
            ready="Listening on",
        )
        scraped = _written(folder / "prometheus.yml", _scraping(folder, pages, port))
        scraping = logged_process(
            *(prometheus, f"--config.file={scraped}", f"--storage.tsdb.path={folder / 'data'}"),
            f"--web.listen-address={HOST}:{asked}",
            ready="Server is ready",
        )
        async with telling, scraping:
            yield f"http://{HOST}:{port}"


def _impatient_routes(pagers: str) -> dict[str, Any]:
    config = _shipped("alertmanager.yml")
    config["route"] |= {"group_wait": "0s", "group_interval": SOON}
    for receiver in config["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"{pagers}/{receiver['name']}"
    return config


def _scraping(
    folder: Path, pages: Mapping[str, Sequence[str]], alertmanager: int
) -> dict[str, Any]:
    config = _shipped("prometheus.yml")
    config["global"] = dict.fromkeys(
        ("scrape_interval", "scrape_timeout", "evaluation_interval"), SOON
    )
    config["rule_files"] = [str(_impatient(folder, file)) for file in FILES]
    (told,) = config["alerting"]["alertmanagers"]
    told["static_configs"] = [{"targets": [f"{HOST}:{alertmanager}"]}]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": list(pages[job["job_name"]])}]
    return config


def _impatient(folder: Path, file: Path) -> Path:
    """The rules, but each alert fires when its expression has held for a second."""
    rules = yaml.safe_load(file.read_text("utf-8"))
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        if "for" in rule:
            rule["for"] = SOON
    return _written(folder / file.name, rules)


def _shipped(name: str) -> dict[str, Any]:
    config = yaml.safe_load((FOLDER / name).read_text("utf-8"))
    assert isinstance(config, dict)
    return config


def _written(path: Path, config: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path
