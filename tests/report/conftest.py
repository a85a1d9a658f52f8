"""One small fabricated run for all tests of the report."""

import os
from pathlib import Path

import pytest

from scripts.demo import acquire
from scripts.demo.plan import Settings
from scripts.report import gather
from tests.report.fabricate import RUNS, fabricate

SMALL = Settings(
    seed=4,
    layers=12,
    tile_height=64,
    tile_width=80,
    resin_layers=3,
    corrupt_layer=6,
    restart_layer=8,
    drift=2.0,
    stage_error=1.0,
)
RESULTS = [f"match/results/{run}/0000.tsv.gz" for run in RUNS]
NAMES = {
    "volume": "small",
    "work_dir": "build/small",
    "acquire": "v1_acquire",
    "align": "v1_acquire_trimmed_align",
    "final": "v1_acquire_trimmed_align",
    "collection": "small_v1",
    "corrections": [],
    "pixel_nm": 8.0,
    "z_nm": 8.0,
}


@pytest.fixture(scope="session")
def acquisition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acquisition")
    return folder, acquire.acquire(SMALL, folder)


@pytest.fixture(scope="session")
def run(acquisition, tmp_path_factory):
    """Working directory, its service, its evidence."""
    folder, truth = acquisition
    root = tmp_path_factory.mktemp("run")
    service = fabricate(root, folder, truth)
    evidence = gather.gather(root, results=RESULTS, truth_path=folder / "truth.json")
    return root, service, evidence


@pytest.fixture
def empty(tmp_path):
    """Evidence of a run that has not begun."""
    return gather.gather(tmp_path, results=[])


@pytest.fixture
def inside():
    """Change into a folder for one test."""
    home = Path.cwd()
    yield os.chdir
    os.chdir(home)
