"""What a cluster's own Prometheus is told: both jobs, by the names that dashboards and rules ask for. Pure."""

from pathlib import Path

import yaml

RULES = Path(__file__).parent / "rules"
GATEWAY_FILE, WORKERS_FILE = "gateway.json", "workers.json"
INTERVAL = "2s"  # of scrapes and rules: few processes, watched by somebody who waits


def configuration() -> str:
    """YAML. The files of targets lie beside it and are read again when they change."""
    return yaml.safe_dump(
        {
            "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [str(RULES / "*.yaml")],
            "scrape_configs": [
                _job("baton-gateway", GATEWAY_FILE)
                # Asked at an address of this machine, for which its certificate need not be.
                | {"tls_config": {"insecure_skip_verify": True}},
                _job("baton-workers", WORKERS_FILE),
            ],
        },
        sort_keys=False,
    )


def _job(name: str, file: str) -> dict[str, object]:
    return {"job_name": name, "file_sd_configs": [{"files": [file], "refresh_interval": "5s"}]}
