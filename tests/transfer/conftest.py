import numpy as np
import pytest

from tests.transfer.synthetic_dat import SAMPLE, make_dat


@pytest.fixture
def sample():
    """Path of the real sample file."""
    if not SAMPLE.exists():
        pytest.skip("needs ../shared/data beside the project")
    return SAMPLE


@pytest.fixture
def dats(tmp_path):
    """Four layers of 1 x 2 tiles, one channel, 8 nm."""
    root = tmp_path / "dat"
    root.mkdir()
    pixels = np.zeros((8, 9, 1), np.int16)
    for layer in range(4):
        for column in range(2):
            name = f"Merlin-1_24-03-07_10000{layer}_0-0-{column}.dat"
            (root / name).write_bytes(make_dat(pixels, first_xy=(7 * column, 0)))
    return root
