"""Every rule is one that Prometheus takes; every alert fires when it should, says so in words, and else keeps quiet."""

import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.support.programs import needed
from tests.support.prometheus_rules import FILES, FOLDER, ROOT, alerts, rules

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "alert_cases.yaml").read_text("utf-8")
)
HOMES = tuple(path for path in FILES if alerts(path))


def promtool(*words: str) -> str:
    return _passes(needed("promtool", "prometheus"), *words)


def _passes(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_examples_are_what_their_programs_take() -> None:
    said = promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert f"{len(FILES)} rule files found" in said
    amtool = needed("amtool", "prometheus-alertmanager")
    assert "2 receivers" in _passes(amtool, "check-config", str(FOLDER / "alertmanager.yml"))


def test_prometheus_takes_the_rules() -> None:
    said = promtool("check", "rules", "--lint-fatal", *map(str, FILES))
    assert said.count("SUCCESS") == len(FILES)


def test_every_expression_parses() -> None:
    for rule in rules():
        promql_parser.parse(rule["expr"])


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert CASES.keys() == alerts().keys()
    for name, cases in CASES.items():
        assert {kind.split()[0] for kind in cases} == {"fires", "quiet"}, name


@pytest.mark.parametrize("home", HOMES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(home: Path, tmp_path: Path) -> None:
    """A file at a time, with what is recorded for it: each case runs all rules that are loaded."""
    tests = [
        _unit_test(name, kind, case) for name in alerts(home) for kind, case in CASES[name].items()
    ]
    loaded = [str(path) for path in FILES if path == home or path not in HOMES]
    file = tmp_path / "alerts.yml"
    file.write_text(yaml.safe_dump({"rule_files": loaded, "tests": tests}), "utf-8")
    promtool("test", "rules", str(file))


def _unit_test(name: str, kind: str, case: dict[str, Any]) -> dict[str, Any]:
    series = [{"series": one, "values": values} for one, values in case["series"].items()]
    expected = [_firing(name, case)] if kind.startswith("fires") else []
    looked_for = {"alertname": name, "eval_time": case["at"], "exp_alerts": expected}
    return {
        "name": f"{name}, {kind}",
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [looked_for],
    }


def _firing(name: str, case: dict[str, Any]) -> dict[str, Any]:
    rule = alerts()[name]
    return {
        "exp_labels": {**rule["labels"], **case["labels"]},
        "exp_annotations": {**rule["annotations"], "summary": case["summary"]},
    }


@pytest.mark.parametrize("name", alerts())
def test_whoever_is_woken_finds_what_to_do(name: str) -> None:
    page, _, anchor = alerts()[name]["annotations"]["runbook_url"].partition("#")
    assert anchor == name.lower()
    sections = (ROOT / page).read_text("utf-8").split("\n## ")[1:]
    (section,) = [text for text in sections if text.startswith(f"{name}\n")]
    for part in ("**It means**", "**Look at**", "**Do**"):
        assert part in section


def test_the_runbooks_are_of_alerts_that_there_are() -> None:
    headings = (ROOT / "docs" / "runbooks.md").read_text("utf-8").split("\n## ")[1:]
    assert {text.splitlines()[0] for text in headings} == set(alerts())
