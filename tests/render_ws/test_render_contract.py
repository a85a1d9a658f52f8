"""The contract on each transport: in process, over HTTP, on a real service if one is named."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
import requests

from scripts.lib.service.session import token_of_environment
from scripts.lib.service.transport import WsgiAdapter
from scripts.render_ws.app import create_app
from tests.render_ws.contract import RenderContract
from tests.render_ws.service import Service

REAL_URL = os.environ.get("RENDER_CONTRACT_URL", "")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    database = tmp_path_factory.mktemp("embedded") / "deep" / "render-ws.db"
    with requests.Session() as session:
        session.mount("http+embedded://", WsgiAdapter(create_app(str(database))))
        yield Service(session, "http+embedded://render-ws/render-ws/v1", "contract")


@pytest.fixture(scope="module")
def over_http(served: str) -> Iterator[Service]:
    with requests.Session() as session:
        yield Service(session, served, "contract")


@pytest.fixture(scope="module")
def real() -> Iterator[Service]:
    with requests.Session() as session:
        session.auth = token_of_environment()
        service = Service(session, REAL_URL.rstrip("/"), f"contract{uuid.uuid4().hex[:12]}")
        yield service
        service.clean()


class TestInProcess(RenderContract):
    @pytest.fixture
    def service(self, embedded: Service) -> Service:
        return embedded


class TestOverHttp(RenderContract):
    @pytest.fixture
    def service(self, over_http: Service) -> Service:
        return over_http


if REAL_URL:

    class TestRealService(RenderContract):
        @pytest.fixture
        def service(self, real: Service) -> Service:
            return real
