"""What holds for all tests: nothing of the shell they are started from reaches a service."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_service_of_the_shell():
    """Take RENDER_WS_URL away: tests work on their own embedded service, never on a site's."""
    os.environ.pop("RENDER_WS_URL", None)
    os.environ.pop("SNAKEMAKE_PROFILE", None)
