"""What holds for all tests: no service of the shell is reached, and no test depends on luck."""

import os
import resource
from collections import Counter
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


def pytest_collection_modifyitems(config, items):
    """Order the tests that xdist hands out by file: first the slowest, then those of most tests."""
    if hasattr(config, "workerinput"):
        items[:] = slowest_first(items)


def slowest_first(items):
    """Return tests by file; a file keeps its order."""
    files = [item.nodeid.partition("::")[0] for item in items]
    counts, place = Counter(files), {file: k for k, file in enumerate(SLOWEST)}
    place |= dict.fromkeys(ONE_VOLUME, -1)
    keys = [(place.get(file, len(SLOWEST)), -counts[file], file) for file in files]
    return [items[k] for k in sorted(range(len(items)), key=keys.__getitem__)]


@pytest.hookimpl(optionalhook=True)  # without xdist there is none
def pytest_xdist_make_scheduler(config, log):
    """Give the tests of a file to one worker, as `--dist loadfile`, in the order of the files."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneVolumeOneWorker(LoadFileScheduling):
        def _split_scope(self, nodeid):  # one that is not asked for costs time alone
            file = nodeid.partition("::")[0]
            return ONE_VOLUME[0] if file in ONE_VOLUME else file

    config.option.loadscopereorder = False
    return OneVolumeOneWorker(config, log)


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
