"""The rules of ingest under Snakemake, on layers that were transferred already."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.lib.files import read_table, write_table
from tests.ingest.synthetic_layers import write_layer

ROOT = Path(__file__).resolve().parents[2]
RULES = ("cache_headers", "number_layers", "check_layers", "publish_acquire", "publish_restart")
TARGETS = ("stacks/v1_acquire.json", "stacks/v1_acquire_restart.json")

pytestmark = pytest.mark.workflow


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "dat").mkdir()
    return folder


def transfer(work, seconds, bad=0, **fields):
    rows = [write_layer(work, s, **fields) | {"bad": bad} for s in seconds]
    write_table(work / "transfer/layers.tsv", ("layer_id", "tiles", "bad", "align_h5"), rows)
    (work / "transfer/gate.json").write_text("{}")
    return [row["layer_id"] for row in rows]


def unplanned(folder):
    """Snakefile of the workflow for layers that no transfer planned: it has no chunks of one."""
    folder.mkdir(exist_ok=True)
    for name in ("config", "envs", "rules", "scripts"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    text = (ROOT / "Snakefile").read_text()
    (folder / "Snakefile").write_text(f"{text}\n\ndef header_spans():\n    return {{}}\n")
    return folder / "Snakefile"


def ingest(work, **settings):
    config = {
        "volume": "v",
        "work_dir": str(work),
        "render": {"owner": "o", "project": "p"},
        "acquisition": {"rows": 1, "columns": 2, "pixel_nm": 8, "z_nm": 8},
        "transfer": {"dat_root": str(work.parent / "dat")},
        "ingest": settings,
    }
    path = work.parent / "volume.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", str(path)]
    command += [
        "--snakefile",
        str(unplanned(work.parent / "code")),
        "--allowed-rules",
        *RULES,
        "--",
        *TARGETS,
    ]
    environment = {name: v for name, v in os.environ.items() if name != "RENDER_WS_URL"}
    return subprocess.run(
        command, cwd=work.parent, env=environment, text=True, timeout=300, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_a_refusal_holds_until_it_is_decided_and_the_page_survives_the_failing_job(work):
    transfer(work, (0, 80))
    assert ingest(work).returncode == 0
    layers = transfer(work, (0, 40, 80))
    for _ in range(2):  # the second run must not take the restored table for a new one
        done = ingest(work)
        assert done.returncode != 0
        assert f"{{insert: {layers[1]}, renumber: true, reason: arrived late}}" in done.stdout
        assert len(read_table(work / "ingest/layers.tsv")) == 2
    decided = [{"insert": layers[1], "renumber": True, "reason": "arrived late"}]
    transfer(work, (0, 40, 80), bad=1, PixelSize=4.0)
    done = ingest(work, layers=decided)
    assert done.returncode != 0
    assert "6 problem(s), all of them in ingest/validation.html" in done.stdout
    assert "PixelSize of the header is 4 nm" in (work / "ingest/validation.html").read_text()
    assert not (work / TARGETS[0]).exists()
    transfer(work, (0, 40, 80))
    assert ingest(work, layers=decided).returncode == 0
    assert json.loads((work / TARGETS[0]).read_text())["tile_count"] == 6
