"""The demo, whole, as `make demo` runs it: what a newcomer sees first, and must be right."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.demo import score

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 1800


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folder of the finished demo, and what its run said last."""
    folder = tmp_path_factory.mktemp("demo")
    config = folder / "demo.yaml"
    text = (ROOT / "config/config.yaml").read_text()
    assert text.count("build/demo") == 2
    config.write_text(text.replace("build/demo", str(folder)))
    acquire = ["-m", "scripts.demo.acquire", str(folder / "acquisition")]
    workflow = ["-m", "snakemake", "--profile", "profiles/local", "--configfile", str(config)]
    for command in (acquire, workflow):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=os.environ, text=True, timeout=LIMIT_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
    return folder, done.stdout


def test_the_demo_is_good_and_says_so(demo):
    folder, said = demo
    verdict = json.loads((folder / "report/summary.json").read_text())["verdict"]
    assert verdict == {"state": "good", "reasons": []}
    assert "Look here" not in said


def test_the_demo_is_where_its_truth_is(demo, capsys):
    folder, _ = demo
    assert score.main([str(folder), str(folder / "acquisition/truth.json")]) == 0
    rows = dict(row.strip().split("  ", 1) for row in capsys.readouterr().out.splitlines()[2:7])
    reached = {name: [float(v) for v in row.split()[:2]] for name, row in rows.items()}
    assert reached["jitter from layer to layer, rms"][0] < 0.1  # px
    assert reached["seams between tiles of a layer, rms"][0] < 0.1
    aligned, acquired = reached["depth of the layers, rms"]
    assert aligned < 0.6 * acquired
