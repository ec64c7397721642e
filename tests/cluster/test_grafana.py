"""Every query of the dashboard, against the names and labels that a run really exports."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.conftest import CLUSTER

DASHBOARD: dict[str, Any] = json.loads((CLUSTER / "grafana.json").read_text())
EXPRESSIONS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
Series = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def series(exported: Path) -> Series:
    """The labels of each series that a run exports, by name."""
    found: Series = defaultdict(list)
    for family in text_string_to_metric_families((exported / "metrics.txt").read_text()):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    return found


def parsed(expression: str) -> Any:
    """The query as Grafana sends it, for all runs and models."""
    for variable, value in (("$__rate_interval", "1m"), ("$__range", "6h"), ("$run", ".*"), ("$model", ".*")):
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return promql.parse(expression)


def selectors(node: Any) -> Iterator[Any]:
    """Every series selector in a parsed query."""
    if isinstance(node, promql.VectorSelector):
        yield node
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (inner := getattr(node, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


def grouped(node: Any) -> Iterator[str]:
    """Every label that a query groups by."""
    if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
        yield from node.modifier.labels
    for name in ("lhs", "rhs", "expr"):
        if (inner := getattr(node, name, None)) is not None:
            yield from grouped(inner)
    for inner in getattr(node, "args", None) or ():
        yield from grouped(inner)


def matches(labels: dict[str, str], matcher: Any) -> bool:
    value = labels.get(matcher.name)
    if value is None:
        return False
    return bool(re.fullmatch(matcher.value, value)) if "Re" in str(matcher.op) else value == matcher.value


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_finds_what_a_run_exports(expression: str, series: Series) -> None:
    query = parsed(expression)
    asked = list(selectors(query))
    assert asked
    for selector in asked:
        found = [
            labels
            for labels in series[selector.name]
            if all(matches(labels, matcher) for matcher in selector.matchers.matchers)
        ]
        assert found, f"nothing is exported for {selector.name} with {selector.matchers.matchers}"
        assert set(grouped(query)) <= set(found[0])


def test_variables_are_labels_of_a_metric(series: Series) -> None:
    variables = [each for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert [each["name"] for each in variables] == ["run", "model"]
    for each in variables:
        asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", each["query"]["query"])
        assert asked
        assert all(asked[2] in labels for labels in series[asked[1]])
        assert series[asked[1]]


def test_everything_that_a_run_exports_is_shown(series: Series) -> None:
    shown = {selector.name for parameter in EXPRESSIONS for selector in selectors(parsed(str(parameter.values[0])))}
    ours = {name for name in series if name.startswith("ray_teacache_")}
    # Sums are made up by Ray, see jobs/metrics.py; creation times come with the format.
    assert {name for name in ours if not name.endswith(("_sum", "_created"))} == shown


def test_panels_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
