"""No request, however wrong, is a failure of the service: 400 and a sentence at most."""

from __future__ import annotations

import pytest

from scripts.render_ws import app
from tests.render_ws import fuzz
from tests.render_ws.fuzz import Fuzz

EXAMPLES = 1500


@pytest.fixture
def service(tmp_path, monkeypatch):
    made = Fuzz(tmp_path)
    fuzz.limited(monkeypatch)
    return made


def test_no_request_makes_the_service_fail(service):
    for seed in range(EXAMPLES):
        service.example(seed)
        assert not service.faults, f"seed {seed}"
    # as many are right as are wrong, or little is tried
    assert min(service.answers[status] for status in (200, 201, 400)) > EXAMPLES / 12


def test_a_route_that_fails_is_found(service, monkeypatch):
    def fail() -> None:
        raise KeyError("z")

    monkeypatch.setitem(app.routes().view_functions, "service.likely_unique_id", fail)
    service.ask([fuzz.Request("GET", "/render-ws/v1/likelyUniqueId", "", None)])
    assert "500 KeyError" in service.faults[0]
