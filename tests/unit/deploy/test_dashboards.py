"""The dashboards are what the code writes, and whole: every panel says what it shows and asks a real question."""

import promql_parser
import pytest

from deploy.grafana.write import written
from tests.support.dashboards import FILES, FOLDER, dashboard, panel_queries, panels


def test_the_committed_files_are_fresh() -> None:
    committed = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    assert committed == written(), "run `make dashboards`"


def test_every_query_parses() -> None:
    queries = list(panel_queries())
    assert len(queries) > 50
    for query in queries:
        promql_parser.parse(query.asked())


@pytest.mark.parametrize("name", FILES)
def test_a_panel_says_what_it_shows_in_which_unit_from_the_chosen_source(name: str) -> None:
    for panel in panels(name):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"], panel["title"]
        assert panel["options"], panel["title"]


@pytest.mark.parametrize("name", FILES)
def test_every_query_stays_with_our_processes_in_the_chosen_namespace(name: str) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            for selector in target["expr"].split("{")[1:]:
                matchers = selector.partition("}")[0]
                assert 'namespace=~"$namespace"' in matchers, target["expr"]
                assert "job=~" in matchers or "alertname=~" in matchers, target["expr"]


@pytest.mark.parametrize("name", FILES)
def test_grafana_can_tell_panels_apart_and_they_do_not_overlap(name: str) -> None:
    page = dashboard(name)
    assert page["uid"] == name.removesuffix(".json")
    ids = [panel["id"] for panel in page["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in page["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
