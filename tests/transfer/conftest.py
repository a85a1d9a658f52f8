import pytest

from tests.transfer.synthetic_dat import SAMPLE


@pytest.fixture
def sample():
    """Path of the real sample file."""
    if not SAMPLE.exists():
        pytest.skip("needs ../shared/data beside the project")
    return SAMPLE
