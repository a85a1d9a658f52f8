"""Each test of a job works in a folder of its own, with its own embedded service."""

import pytest


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Change to a fresh working directory whose render-ws.db is the service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENDER_WS_URL", raising=False)
    return tmp_path
