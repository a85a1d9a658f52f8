"""The description of the service, held against its routes and against what they read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.render_ws import app, openapi
from scripts.render_ws import operations as operations_table
from scripts.render_ws.web import ROOT

ROOT_FOLDER = Path(__file__).resolve().parents[2]
SOURCES = sorted(Path(openapi.__file__).parent.glob("*_routes.py"))
READ = re.compile(
    r"""(?:\bnumber|\bnumbers|\bflag|\bwhole|args\.get|args\.getlist)\(\s*["'](\w+)["']"""
)
METHODS = ("get", "put", "post", "delete")


@pytest.fixture(scope="module")
def document():
    return openapi.document()


@pytest.fixture(scope="module")
def operations(document):
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_every_route_is_described_in_a_sentence(operations):
    rules = app.routes().url_map.iter_rules()
    routes = {
        (method.lower(), openapi.described(rule)[0])
        for rule in rules
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith(ROOT)
    }
    assert operations.keys() == routes
    assert [key for key, one in operations.items() if not one["summary"].endswith(".")] == []


def test_paths_differ_by_more_than_the_names_of_their_segments(document):
    bare = [re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]]
    assert len(set(bare)) == len(bare)


def test_segments_are_declared(operations):
    for (_, path), operation in operations.items():
        named = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert sorted(named) == sorted(re.findall(r"\{(\w+)\}", path))


def test_what_the_routes_read_of_a_query_is_described(operations):
    read = {name for source in SOURCES for name in READ.findall(source.read_text())}
    read |= {"excludeTransformsAfterLast", "excludeFirstTransformAndAllAfter"}
    told = {
        p["name"] for each in operations.values() for p in each["parameters"] if p["in"] == "query"
    }
    assert told == read | {"excludeAllTransforms"}


def test_what_takes_a_body_says_which(operations):
    without = {
        path.removeprefix(ROOT)
        for (method, path), one in operations.items()
        if method in ("put", "post") and "requestBody" not in one
    }
    stack = "/owner/{owner}/project/{project}/stack/{stack}"
    counts = "/owner/{owner}/matchCollection/{name}/pGroup/{group}/matchCounts"
    assert without == {f"{stack}/state/{{state}}", counts}
    assert not any(
        "requestBody" in one for (method, _), one in operations.items() if method == "get"
    )


def _references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


def test_references_lead_somewhere(document):
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) <= known


@pytest.mark.parametrize("path", ["/openapi.json", "/render-ws/openapi.json"])
def test_it_is_served(tmp_path, path):
    from werkzeug.test import Client

    answer = Client(app.create_app(tmp_path / "r.db")).get(path)
    assert answer.json == openapi.document()


@pytest.mark.parametrize("path", ["/swagger.json", "/render-ws/swagger.json"])
def test_neuroglancer_finds_what_it_may_ask_of_pictures(tmp_path, path):
    from werkzeug.test import Client

    paths = Client(app.create_app(tmp_path / "r.db")).get(path).json["paths"]
    (box,) = [each for each in paths if each.startswith("/v1/") and each.endswith("/raw-image")]
    optional = {p["name"] for p in paths[box]["get"]["parameters"] if not p["required"]}
    assert {"minIntensity", "maxIntensity", "filter", "channels"} <= optional


def test_the_documents_table_is_that_of_the_routes():
    """To mend it: python -m scripts.render_ws operations, between the two lines."""
    text = (ROOT_FOLDER / "docs/render-ws.md").read_text()
    found = text.partition("<!-- operations -->\n")[2].partition("<!-- end of operations -->")[0]
    assert found.strip().splitlines() == list(operations_table.table())


def test_each_difference_is_one_of_an_operation(operations):
    """A pattern that fits no path any more says nothing."""
    whole = [f"{method.upper()} {path.removeprefix(ROOT)}" for method, path in operations]
    unused = [
        pattern
        for pattern, _ in operations_table.DIFFERS
        if not any(re.fullmatch(pattern, each) for each in whole)
    ]
    assert unused == []


def test_what_is_absent_is_no_route(operations):
    there = {path.removeprefix(f"{ROOT}/") for _, path in operations}
    assert there.isdisjoint(operations_table.ABSENT)
