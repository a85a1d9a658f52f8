"""A region: the same voxels as that part of the whole; coarse ones at their exact places."""

from pathlib import Path

import numpy as np
import pytest

from scripts.export import build_pyramid, check_slab, close_export, plan_export, render_slab, slabs
from scripts.lib import files, volumes
from scripts.lib.job import UserError
from tests.export.synthetic import RENDER, publish, smooth
from tests.export.test_export_jobs import EXPORT, LAYERS, VIEWER, coordinates
from tests.export.test_slabs import EXPORT as PLANNED
from tests.export.test_slabs import VOXEL

BOX = {"x_px": [17, 95], "y_px": [5, 51], "z_px": [6, 17]}


def export(folder, *, again=False, **settings):
    """Run all jobs of an export into `folder`, or with `again` those not done; gives the plan."""
    at = Path(folder)
    plan, closed = str(at / "plan.json"), str(at / "volume.json")
    if not (again and Path(plan).exists()):
        plan_export.main(
            receipt="stacks/s.json",
            chunks="ingest/chunks.tsv",
            out=plan,
            volume=str(at / "v"),
            voxel_nm=VOXEL,
            export=PLANNED | settings,
        )
    records, pyramid = [], str(at / "pyramid.json")
    for row in files.read_table("ingest/chunks.tsv"):
        records.append(str(at / f"slabs/{row['chunk']}.json"))
        notes = str(at / f"journals/{row['chunk']}.jsonl")
        if not (again and Path(records[-1]).exists()):
            render_slab.main(
                plan=plan,
                receipt="stacks/s.json",
                chunks="ingest/chunks.tsv",
                coordinates="zcorr/Zcoords.txt",
                out=records[-1],
                notes=notes,
                chunk=row["chunk"],
                render=RENDER,
                export=EXPORT,
            )
        checked = str(at / f"checked/{row['chunk']}.json")
        if not (again and Path(checked).exists()):
            check_slab.main(plan=plan, slab=records[-1], notes=notes, out=checked)
    build_pyramid.main(plan=plan, slab_records=records, out=pyramid)
    close_export.main(
        plan=plan, slab_records=records, pyramid=pyramid, out=closed, volume="v", export=VIEWER
    )
    return slabs.Plan.from_json(files.read_json(plan))


def voxels(plan, level=0):
    found = volumes.open_level(plan.targets[0], level)
    return found.read(tuple(slice(0, n) for n in found.shape_zyx))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A stack exported whole: folder and plan."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        publish(folder, LAYERS)
        coordinates(LAYERS, shift=0.3)
        return folder, export("export")


@pytest.mark.parametrize("box", [BOX, {"z_px": [22, 23], "x_px": [50, 500], "y_px": None}])
def test_a_region_is_that_part_of_the_whole_voxel_by_voxel(whole, monkeypatch, box):
    folder, plan = whole
    monkeypatch.chdir(folder)
    part = export("exports/region", box=box)
    corner = np.subtract(part.spec.origin_px_zyx, plan.spec.origin_px_zyx)
    for axis, name in enumerate(("z_px", "y_px", "x_px")):
        start = plan.spec.origin_px_zyx[axis]
        first, end = box.get(name) or (start, start + plan.spec.shape_zyx[axis])
        assert part.spec.origin_px_zyx[axis] == first
        assert part.spec.shape_zyx[axis] == min(end, start + plan.spec.shape_zyx[axis]) - first
    inside = tuple(slice(c, c + n) for c, n in zip(corner, part.spec.shape_zyx, strict=True))
    assert np.array_equal(voxels(part), voxels(plan)[inside])


@pytest.mark.parametrize("step", [4])
def test_a_coarse_region_shows_the_specimen_at_its_places(whole, monkeypatch, step):
    monkeypatch.chdir(whole[0])
    part = export("exports/coarse", box=BOX, step_px=step)
    z, y, x = (
        o + np.arange(n) for o, n in zip(part.spec.origin_px_zyx, part.spec.shape_zyx, strict=True)
    )
    assert (x[0] * step, y[0] * step) == (17 // step * step, 5 // step * step)
    assert part.spec.voxel_nm_zyx == (8.0, 5.0 * step, 5.0 * step)
    moved = np.where((z > 3) & (z < 22), z - 0.3, z)
    error = voxels(part) - smooth(step * x, step * y[:, None], moved[:, None, None])
    assert np.abs(error[:, 1:-1, 1:-1]).max() < 4.0  # curvature over `step` pixels
    assert abs(error[:, 1:-1, 1:-1].mean()) < 0.3


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ({"x_px": [900, 950]}, r"export\.box\.x_px: found \[900, 950\], but the stack goes from"),
        ({"z_px": [9, 9]}, r"export\.box\.z_px: found \[9, 9\]"),
    ],
)
def test_a_box_without_any_of_the_stack_is_refused_in_its_words(whole, monkeypatch, box, words):
    monkeypatch.chdir(whole[0])
    with pytest.raises(UserError, match=words):
        export("exports/none", box=box)
