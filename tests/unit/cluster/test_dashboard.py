"""The Grafana dashboard shows every metric there is, and none that there is not."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from core.cluster.metrics import METRICS, Metric

DASHBOARD = Path(__file__).resolve().parents[3] / "RayServer" / "grafana" / "dame.json"
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("",), "gauge": ("",)}
BY_SERIES = {
    series: metric for metric in METRICS for series in (metric.exported_name + s for s in SUFFIXES[metric.kind])
}
RAYS_LABELS = {"SessionName", "le"}


@pytest.fixture(scope="module")
def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text())


@pytest.fixture(scope="module")
def panels(dashboard: Any) -> list[Any]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def expressions(panels: list[Any]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def used(expression: str) -> list[Metric]:
    return [BY_SERIES[series] for series in re.findall(r"ray_\w+", expression)]


def test_what_it_shows_is_exported_and_all_that_is_exported_is_shown(dashboard: Any, expressions: list[str]) -> None:
    shown = {metric.name for expression in expressions for metric in used(expression)}
    assert shown == {metric.name for metric in METRICS}
    variables = json.dumps(dashboard["templating"])
    assert set(re.findall(r"ray_\w+", variables)) <= set(BY_SERIES)


def test_each_kind_is_asked_as_it_must_be(expressions: list[str]) -> None:
    """What only grows by its rate; a gauge never summed, for that of a process that died is there for a while."""
    for expression in expressions:
        for metric in used(expression):
            if metric.kind == "gauge":
                assert "rate(" not in expression and expression.startswith(("max", "min")), expression
            else:
                assert re.search(r"(rate|increase)\(ray_\w+\{[^}]*\}\[\$__rate_interval\]\)", expression), expression
                assert "sum by (" in expression
            assert ("histogram_quantile(" in expression) == (metric.kind == "histogram")


def test_labels_are_those_of_the_metric(panels: list[Any]) -> None:
    for panel in panels:
        for target in panel["targets"]:
            labels = {label for metric in used(target["expr"]) for label in metric.labels} | RAYS_LABELS
            grouped = {word for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in group.split(", ")}
            selected = set(re.findall(r"[{,](\w+)[!=~]", target["expr"]))
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert grouped | selected | legend <= labels, target
            assert legend == grouped - {"le"}, target


def test_every_query_goes_to_the_chosen_source_and_session(dashboard: Any, panels: list[Any]) -> None:
    source, session = dashboard["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert session["name"] == "session"
    for place in (session, *panels, *(target for panel in panels for target in panel["targets"])):
        assert place["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        for target in panel["targets"]:
            assert target["expr"].count('SessionName=~"$session"') == target["expr"].count("ray_")


def test_panels_have_their_own_numbers_titles_and_places(dashboard: Any, panels: list[Any]) -> None:
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)
    assert all(panel["description"] for panel in panels)
    for one, other in combinations([panel["gridPos"] for panel in everything], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in everything)
