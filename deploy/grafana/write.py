"""The dashboards as Grafana reads them: `python -m deploy.grafana.write`, or `make dashboards`."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import cluster, engine, hand_off, prefill_decode, tenants

FOLDER = Path(__file__).parent
PAGES = (cluster, prefill_decode, hand_off, engine, tenants)


def written() -> dict[str, str]:
    """Name of each file -> its text."""
    return {f"{_name(page)}.json": _text(page) for page in (one.dashboard() for one in PAGES)}


def _name(page: Dashboard) -> str:
    uid = page.build().uid
    assert uid is not None
    return uid


def _text(page: Dashboard) -> str:
    return json.dumps(page.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def main() -> None:
    files = written()
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
