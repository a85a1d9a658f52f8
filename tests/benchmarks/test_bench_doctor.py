"""Cost of the doctor: it looks at every name and size before a run, so it has to be quick."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import schema, yaml_files
from scripts.transfer import doctor
from tests.transfer.synthetic_dat import make_dat

SCHEMA = Path(__file__).resolve().parents[2] / "config/schema.yaml"
ROWS, COLUMNS = 2, 4
LINKS = 20_000  # names of one file; file systems allow some 65,000


@pytest.fixture(scope="module")
def dats(bench, tmp_path_factory):
    """Files of one a minute in folders of days: 240,000 names when measuring."""
    root = tmp_path_factory.mktemp("dat")
    pixels = np.zeros((8, 9, 1), np.int16)
    begin = datetime(2024, 3, 7, 10)  # noqa: DTZ001 - clock of the scope
    for layer in range(30_000 if bench.measuring else 300):
        at = begin + timedelta(minutes=layer)
        day = root / f"{at:Y%Y/M%m/D%d}"
        day.mkdir(parents=True, exist_ok=True)
        for row, column in np.ndindex(ROWS, COLUMNS):
            source = root / f"{row}{column}.{layer // LINKS}"
            if not source.exists():
                source.write_bytes(make_dat(pixels, first_xy=(7 * column, 6 * row)))
            os.link(source, day / f"Merlin-1_{at:%y-%m-%d_%H%M%S}_0-{row}-{column}.dat")
    return root


def test_the_doctor_looks_at_a_quarter_of_a_million_files_in_seconds(bench, dats):
    config = {
        "volume": "v",
        "work_dir": "w",
        "render": {"owner": "o", "project": "p"},
        "acquisition": {"rows": ROWS, "columns": COLUMNS, "pixel_nm": 8, "z_nm": 8},
        "transfer": {"dat_root": str(dats)},
    }
    schema.validate(config, yaml_files.read(SCHEMA))
    found = []
    seconds = bench.cpu_s(lambda: found.extend(doctor.examine(config, dats, dats)), repeats=2)
    assert {each.severity for each in found} == {"fact"}, [each.text() for each in found]
    bench.row("doctor.240k_files_s", seconds, "s", better="lower")
