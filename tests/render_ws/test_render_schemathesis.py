"""The service asked by schemathesis, from its own description: no answer is 500.

``SCHEMATHESIS_EXAMPLES=300`` asks longer.
"""

from __future__ import annotations

import contextlib
import os
import warnings

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from scripts.render_ws import app, openapi
from tests.render_ws import fuzz

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "4"))  # of each operation and kind
THERE = {"owner": "o", "project": "p", "stack": "s", "name": "m"}
KINDS = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.fixture
def service(tmp_path, monkeypatch):
    made = fuzz.Fuzz(tmp_path)
    fuzz.limited(monkeypatch)
    return made


def described(service):
    schema = schemathesis.openapi.from_dict(openapi.document())
    schema.app = service.service
    return [each.ok() for each in schema.get_all_operations()]


def ask(service, operation, kind):
    """Send requests of an operation, each taken back; return the wrong answers."""
    found = []

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @hypothesis.given(operation.as_strategy(generation_mode=kind))
    def sent(case):
        # names that lead somewhere: what lies behind them is to be tried, not 404
        case.path_parameters.update({k: v for k, v in THERE.items() if k in case.path_parameters})
        connection = service.service.store._connection()
        connection.execute("BEGIN")
        try:
            answer = case.call()
        finally:
            connection.execute("ROLLBACK")
        service.answers[answer.status_code] += 1
        if answer.status_code >= 500 and not fuzz.DOCUMENTED.search(answer.text):
            found.append(f"{answer.status_code} {answer.text[:200]}: {case.as_curl_command()}")

    with contextlib.suppress(Unsatisfiable), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sent()
    return found


@pytest.mark.parametrize("kind", KINDS, ids=["right", "wrong"])
def test_no_described_request_is_answered_with_500(service, kind):
    asked = described(service)
    if kind is GenerationMode.NEGATIVE:  # any text is right as a name in a path
        asked = [each for each in asked if each.body or each.query]
    for operation in asked:
        assert ask(service, operation, kind) == [], operation.label
    wanted = {GenerationMode.POSITIVE: (200, 201), GenerationMode.NEGATIVE: (400, 404)}[kind]
    assert min(service.answers[status] for status in wanted) > 10, service.answers


def test_an_operation_that_fails_is_found(service, monkeypatch):
    def fail():
        raise KeyError("z")

    monkeypatch.setitem(app.routes().view_functions, "service.likely_unique_id", fail)
    one = next(o for o in described(service) if o.path.endswith("likelyUniqueId"))
    assert "500" in ask(service, one, GenerationMode.POSITIVE)[0]
