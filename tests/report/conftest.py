"""One small fabricated run for all tests of the report."""

import dataclasses
import os
from pathlib import Path

import pytest
import yaml

from scripts.demo import acquire
from scripts.demo.plan import Settings
from scripts.lib import schema
from scripts.report import findings, gather, summary
from scripts.report.judged import Rules
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
    "rows": 2,
    "columns": 2,
}


SCHEMA = Path(__file__).parents[2] / "config/schema.yaml"


def default_limits():
    """Section ``report.limits`` as a config without it has it."""
    report = {}
    schema.fill_defaults(report, yaml.safe_load(SCHEMA.read_text())["properties"]["report"])
    return report["limits"]


LIMITS = default_limits()


def judge(evidence, names=NAMES):
    """Figures and findings of a run under the default limits."""
    figures = summary.summarise(evidence, volume="small")
    found = findings.findings(evidence, figures, Rules.of(LIMITS, names))
    return summary.judge(figures, found), found


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


@pytest.fixture(scope="session")
def good(run):
    """Evidence of the run without the layer that does not fit."""
    layers = [row | {"problem": None} for row in run[2].documents["qc"]["layers"]]
    documents = dict(run[2].documents) | {"qc": {"layers": layers}}
    return dataclasses.replace(run[2], documents=documents)


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
