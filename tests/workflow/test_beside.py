"""A transfer beside the rest of the same volume, and after a kill: nothing typed by hand."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from tests.workflow.conftest import ROOT, executed

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]
LIMIT_S = 300


def until(holds, process):
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


def start(volume, *argv):
    return subprocess.Popen(
        volume.command(*argv),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def growing(acquisition, new_volume, tmp_path):
    """A volume of which the last layer has not come yet, and the folder of its files."""
    dats = tmp_path / "dat"
    shutil.copytree(acquisition, dats)
    late = tmp_path / "late"
    late.mkdir()
    last = sorted({path.name.rsplit("_", 1)[0] for path in dats.rglob("*.dat")})[-1]
    for path in sorted(dats.rglob(f"{last}*.dat")):
        path.rename(late / path.name)
    volume = new_volume("growing")
    config = yaml.safe_load(volume.config.read_text())
    config["transfer"]["dat_root"] = str(dats)
    volume.config.write_text(yaml.safe_dump(config))
    return volume, dats, late


def test_new_layers_are_transferred_while_the_rest_runs_and_after_a_kill(growing):
    volume, dats, late = growing
    whole = start(volume, "match")
    try:
        claim = volume.work / ".snakemake/claims/transfer.json"
        numbered = volume.work / "ingest/chunks.tsv"
        until(lambda: numbered.exists() and not claim.exists(), whole)  # it has given it back
        for path in late.iterdir():
            shutil.copy(path, dats / path.name)
        killed = start(volume, "transfer")
        until(lambda: claim.exists() and json.loads(claim.read_text())["pid"] == killed.pid, killed)
        assert whole.poll() is None, "the transfer runs beside nothing"
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        done = volume.snakemake("transfer")
        assert done.returncode == 0, done.stdout
        assert "is gone: its claim is taken over" in done.stdout
        assert "convert_layers" in executed(done)
        said = whole.communicate(timeout=LIMIT_S)[0]
    finally:
        if whole.poll() is None:
            os.killpg(whole.pid, signal.SIGKILL)
            whole.communicate()
    assert whole.returncode == 0, said
    assert len(re.findall(r" number_layers ", said)) == 1, said
    layers = (volume.work / "transfer/layers.tsv").read_text().splitlines()
    numbered = (volume.work / "ingest/layers.tsv").read_text().splitlines()
    assert len(layers) == len(numbered) + 1
    ingested = volume.snakemake("ingest")
    assert "number_layers" in executed(ingested)
    assert len((volume.work / "ingest/layers.tsv").read_text().splitlines()) == len(layers)
