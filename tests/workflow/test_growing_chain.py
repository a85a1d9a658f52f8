"""A wave of new layers, from a new solve to the slabs: what is behind it is put back."""

import os

import numpy as np
import pytest

from scripts.correct import correct_step, publish_corrected
from scripts.export import plan_export, plan_slabs, render_slab
from scripts.lib import files
from scripts.solve import publish_align
from scripts.zcorr import correlate_layers, zcoords
from tests.export import synthetic
from tests.export.synthetic import RENDER
from tests.export.test_export_jobs import EXPORT
from tests.export.test_slabs import EXPORT as PLANNED
from tests.export.test_slabs import VOXEL
from tests.zcorr.conftest import workdir as workdir  # a fixture
from tests.zcorr.test_zcorr_jobs import ZCORR

WAVES, CHUNK = (24, 32, 40), 8  # layers there are after each wave; of a chunk
KEEP_PX, KEEP_Z = 0.02, 0.08


def solved(layers):
    """Transforms of a solve: places, a drift of all layers, and an end that nothing holds yet."""
    out = {}
    for z in range(3, 3 + layers):
        to_end = layers + 2 - z
        off = np.array([0.004 * layers, -0.3]) * [1, np.exp(-to_end / 40)]
        off += 0.1 * np.exp(-to_end / 1.5)
        for column in (0, 1):
            matrix = synthetic.affine(z, column)
            matrix[:, 2] = [60 * column, 0] + off
            out[f"t{z:03d}-{column}"] = matrix.T.ravel().tolist()
    return out


def wave(folder, layers):
    """Everything between the solve and the slabs; chunks that were drawn, and compared, anew."""
    synthetic.publish(folder, range(3, 3 + layers), stack="trimmed", chunk=CHUNK)
    for path in (folder / "tiles").iterdir():
        os.utime(path, (0, 0))  # images of before are those of before
    files.write_json("solve/transforms.json.gz", {"tiles": solved(layers)})
    publish_align.main(
        trimmed="stacks/trimmed.json",
        transforms="solve/transforms.json.gz",
        out="stacks/align.json",
        render=RENDER,
        stack="align",
        params={"z_range": None},
        keep_px=KEEP_PX,
    )
    chunks = [row["chunk"] for row in files.read_table("ingest/chunks.tsv")]
    compared = [chunk for chunk in chunks if not correlated(chunk)]
    z = np.arange(3, 3 + layers)
    place(z, 3 + (z - 3) * (1 + layers / 20_000))  # the scale of all is set anew
    straighten()
    asked = to_draw()
    drawn = [chunk for chunk in chunks if slab(chunk)]
    assert asked == drawn  # jobs of the others do not even start
    return chunks, compared, drawn


def correlated(chunk):
    """Compare the layers of a chunk; whether that was put back."""
    record = f"zcorr/correlations/kept/{chunk}/made_of.json"
    before = changed(record)
    correlate_layers.main(
        receipt="stacks/align.json",
        chunks="ingest/chunks.tsv",
        correlations=f"zcorr/correlations/{chunk}.npz",
        layers=f"zcorr/layers/{chunk}.npz",
        chunk=chunk,
        render=RENDER,
        zcorr=ZCORR,
    )
    return before is not None and changed(record) == before


def place(z, found):
    """Release corrected z, as the gate of thickness does."""
    text, path = zcoords.to_text(z, found), files.Path("zcorr/Zcoords.txt")
    if path.exists():
        text, _ = zcoords.held(text, path.read_text(), KEEP_Z)
    files.write_text(path, text)


def straighten():
    parts = {"parameters": "correct/straighten.json", "arrays": "correct/straighten.npz"}
    how = {"render": RENDER, "voxel_nm": VOXEL}
    correct_step.main(
        source="stacks/align.json",
        evidence=[],
        out=parts["parameters"],
        arrays=parts["arrays"],
        name="straighten",
        settings={"curve": "linear", "smooth_um": 10},
        keep_px=KEEP_PX,
        **how,
    )
    where = {"source": "stacks/align.json", "receipt": "stacks/s.json", "stack": "s"}
    publish_corrected.main(**where, **parts, **how)
    plan_export.main(
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        out="export/plan.json",
        volume="v",
        voxel_nm=VOXEL,
        export=PLANNED | {"grows": True},
    )


def to_draw():
    """Plan the slabs; chunks whose jobs start."""
    before = files.read_table("export/slabs.tsv") if changed("export/slabs.tsv") else []
    plan_slabs.main(
        plan="export/plan.json",
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        out="export/slabs.tsv",
        render=RENDER,
        export=EXPORT,
    )
    return [row["chunk"] for row in files.read_table("export/slabs.tsv") if row not in before]


def slab(chunk):
    """Draw the slab of a chunk; whether any of it was drawn."""
    journal = f"export/journals/{chunk}.jsonl"
    before = changed(journal)
    render_slab.main(
        plan="export/plan.json",
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        out=f"export/slabs/{chunk}.json",
        chunk=chunk,
        render=RENDER,
        export=EXPORT,
    )
    return changed(journal) != before


def changed(path):
    file = files.Path(path)
    return file.stat().st_mtime_ns if file.exists() else None


@pytest.mark.usefixtures("workdir")
def test_only_chunks_within_reach_of_the_wave_are_compared_and_drawn_again(tmp_path):
    chunks, compared, drawn = wave(tmp_path, WAVES[0])
    assert compared == drawn == chunks
    for layers in WAVES[1:]:
        chunks, compared, drawn = wave(tmp_path, layers)
        assert compared == drawn == chunks[-2:]
