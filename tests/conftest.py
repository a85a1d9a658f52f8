"""What holds for all tests: no service of the shell is reached, and no test depends on luck."""

import os

import pytest
from hypothesis import HealthCheck, settings

# no deadline: a busy machine is no fault of the code; the same examples in every run
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


@pytest.fixture(autouse=True, scope="session")
def no_service_of_the_shell():
    """Take RENDER_WS_URL away: tests work on their own embedded service, never on a site's."""
    os.environ.pop("RENDER_WS_URL", None)
    os.environ.pop("SNAKEMAKE_PROFILE", None)
