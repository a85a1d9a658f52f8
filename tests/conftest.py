"""What holds for all tests: no service of the shell is reached, and no test depends on luck."""

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# no deadline: a busy machine is no fault of the code; the same examples in every run
settings.register_profile(
    "project", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


WORKFLOW = "tests/workflow/test_{}.py"
# by how long they take; the first ones look at one volume, which a worker makes once
ONE_VOLUME = [WORKFLOW.format(name) for name in ("behaviour", "takeover", "shown_commands")]
SLOW = ("lsf", "two_channels", "preview", "foreign_volume", "beside", "last_line")
SLOWEST = [ONE_VOLUME[0], *map(WORKFLOW.format, SLOW)]


@pytest.hookimpl(optionalhook=True)  # without xdist there is none
def pytest_xdist_make_scheduler(config, log):
    """Give the tests of a file to one worker, as `--dist loadfile`; those that take long first."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class SlowestFirst(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return ONE_VOLUME[0] if file in ONE_VOLUME else file

        def _assign_work_unit(self, node):
            waiting = [file for file in SLOWEST if file in self.workqueue]
            for file in reversed(waiting):
                self.workqueue.move_to_end(file, last=False)
            super()._assign_work_unit(node)

    return SlowestFirst(config, log)


@pytest.fixture(autouse=True, scope="session")
def no_service_of_the_shell():
    """Take RENDER_WS_URL away: tests work on their own embedded service, never on a site's."""
    os.environ.pop("RENDER_WS_URL", None)
    os.environ.pop("SNAKEMAKE_PROFILE", None)


@pytest.fixture(autouse=True)
def comes_home():
    """Take a test's folder back: the next test, whichever it is, begins where this one did."""
    before = Path.cwd()
    yield
    after = Path.cwd()
    os.chdir(before)
    assert after == before, f"this test leaves its worker in {after}"


@pytest.fixture
def few_files():
    """Return a context in which this process may open forty files more than it has open."""

    @contextmanager
    def limited():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 40, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    return limited
