"""A TIFF stack through the whole workflow, and the same pixels as `.dat` files beside it."""

import gzip
import json

import pytest
import yaml

from scripts.lib.files import read_table
from scripts.transfer import new_volume
from tests.transfer import foreign_files as ff
from tests.workflow.conftest import Volume

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("foreign_volume")]
LAYERS, SIDE_PX = 5, 192
# one chunk, no step of correction, one format: what is compared is made before
SMALL = {
    "correct": {"steps": []},
    "chunks": {"layers": LAYERS},
    "export": {"block_zyx_px": [LAYERS, 64, 64], "formats": ["zarr"]},
}


def volume(folder, write, pixels):
    """Write the files, let `scripts.new` write the config, make it small."""
    (folder / "files").mkdir(parents=True)
    write(folder / "files", pixels)
    argv = [str(folder / "files"), "--name", "volume", "--work-dir", str(folder / "work")]
    assert new_volume.main([*argv, "--owner", "demo", "--out", str(folder)]) == 0
    made = Volume(folder)
    config = yaml.safe_load(made.config.read_text())
    config["transfer"]["keep_contrast"] = [{"reason": "membranes are dark in the files"}]
    made.config.write_text(yaml.safe_dump(config | SMALL))
    return made


def ran(made, *target):
    done = made.snakemake(*target)
    assert done.returncode == 0, done.stdout
    return done.stdout


def transforms(made):
    """Return the solved transforms by z: tile ids hold times, which stacks have not."""
    text = gzip.decompress((made.work / "solve/transforms.json.gz").read_bytes())
    return {tile.split(".", 1)[1]: values for tile, values in json.loads(text)["tiles"].items()}


def test_a_tiff_stack_comes_out_as_the_same_pixels_from_dats(tmp_path):
    pixels = ff.real("celegans/celegans_21.h5", LAYERS)[:, :SIDE_PX, :SIDE_PX]
    stack = volume(tmp_path / "stack", ff.imagej, pixels)
    dats = volume(tmp_path / "dats", ff.dats, pixels)
    said = ran(stack)
    ran(dats, "solve")
    assert "report/index.html" in said, said
    assert (stack.work / "report/summary.json").exists()
    assert transforms(stack) == transforms(dats)
    assert len(transforms(stack)) == LAYERS
    rows = read_table(stack.work / "ingest/layers.tsv")
    assert {(row["tiles"], row["missing"], row["status"]) for row in rows} == {("1", "", "ok")}
