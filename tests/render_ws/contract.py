"""What any render-ws must do: one class of tests over plain HTTP requests, for every transport.

Section numbers are those of the render-ws notes: 2.2 stacks, 2.3 layers and tiles, 2.4 render
parameters, 2.6 matches. The tests speak raw requests, not `RenderClient`, so that a mistake in the
client is not mirrored here. A test class for a transport subclasses `RenderContract` and gives the
fixture `service`.
"""

from __future__ import annotations

import pytest

from tests.render_ws.contract_matches import MatchContract
from tests.render_ws.contract_parameters import ParameterContract
from tests.render_ws.contract_stacks import StackContract
from tests.render_ws.contract_tiles import TileContract
from tests.render_ws.service import Service, Url, fresh


class RenderContract(StackContract, TileContract, ParameterContract, MatchContract):
    """Subclass with a fixture `service`."""

    @pytest.fixture
    def project(self) -> str:
        return fresh("p")

    @pytest.fixture
    def stack(self, service: Service, project: str) -> Url:
        return service.stack(project, "s")

    @pytest.fixture
    def other(self, service: Service, project: str) -> Url:
        return service.stack(project, "t")

    @pytest.fixture
    def pairs(self, service: Service) -> Url:
        return service.collection(fresh("c"))
