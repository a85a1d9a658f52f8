"""A region: the same voxels as that part of the whole; coarse ones at their exact places."""

from pathlib import Path

import numpy as np
import pytest

from scripts.export import (
    build_pyramid,
    build_span,
    check_slab,
    close_export,
    plan_export,
    render_slab,
    slabs,
)
from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from tests.export.synthetic import RENDER, H, W, publish, smooth
from tests.export.test_export_jobs import EXPORT, LAYERS, VIEWER, coordinates
from tests.export.test_slabs import EXPORT as PLANNED
from tests.export.test_slabs import VOXEL

BOX = {"x_px": [17, 95], "y_px": [5, 51], "z_px": [6, 17]}


def export(folder, *, again=False, span=0, limits=None, **settings):
    """Run all jobs of an export into `folder`, or with `again` those not done; gives the plan.

    `span`: number of chunks whose pyramid is one job; `limits`: what is black and white in 8 bit.
    """
    at = Path(folder)
    plan = str(at / "plan.json")
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
        damaged = at / f"damaged/{row['chunk']}.json"
        if not (again and up_to_date(Path(records[-1]), damaged)):
            render_slab.main(
                plan=plan,
                receipt="stacks/s.json",
                chunks="ingest/chunks.tsv",
                coordinates="zcorr/Zcoords.txt",
                out=records[-1],
                chunk=row["chunk"],
                render=RENDER,
                export=EXPORT,
                limits=limits,
            )
        checked = str(at / f"checked/{row['chunk']}.json")
        if not (again and Path(checked).exists()):
            check_slab.main(plan=plan, slab=records[-1], out=checked)
    spans = []
    for i in range(0, len(records) if span else 0, span or 1):
        spans.append(str(at / f"spans/{i:04d}.json"))
        of_span = records[i : i + span]
        build_span.main(plan=plan, slab_records=of_span, out=spans[-1], span=f"{i:04d}")
    build_pyramid.main(plan=plan, slab_records=[*records, *spans], out=pyramid)
    close(at)
    return slabs.Plan.from_json(files.read_json(plan))


def up_to_date(record, damaged):
    """Tell what Snakemake would find: a record that is there, no older than its input."""
    there = record.exists()
    return there and not (damaged.exists() and damaged.stat().st_mtime > record.stat().st_mtime)


def close(at):
    """Close an export of which all records are there."""
    # killed jobs leave files that begin with a dot
    found = (sorted((at / name).glob("[0-9]*.json")) for name in ("slabs", "spans"))
    records, spans = ([str(path) for path in part] for part in found)
    close_export.main(
        plan=str(at / "plan.json"),
        slab_records=records,
        pyramid=str(at / "pyramid.json"),
        out=str(at / "volume.json"),
        volume="v",
        **VIEWER,
        span_records=spans,
    )


def voxels(plan, level=0):
    found = multiscale.open_level(plan.targets[0], level)
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


UNCUT = {"shared_by": None, "x_px": None, "y_px": None, "z_px": None}


def test_a_cropped_volume_is_that_part_and_chunks_outside_write_nothing(whole, monkeypatch):
    folder, plan = whole
    monkeypatch.chdir(folder)
    part = export("cropped", crop=UNCUT | BOX | {"z_px": [14, 17]})
    corner = np.subtract(part.spec.origin_px_zyx, plan.spec.origin_px_zyx)
    assert part.spec.shape_zyx == (3, 46, 78)
    inside = tuple(slice(c, c + n) for c, n in zip(corner, part.spec.shape_zyx, strict=True))
    assert np.array_equal(voxels(part), voxels(plan)[inside])
    with pytest.raises(UserError, match=r"export\.crop\.z_px: found \[90, 95\], but the stack"):
        export("none", crop=UNCUT | {"z_px": [90, 95]})


def planned(crop):
    """Plan an export that asks the service what layers share."""
    plan_export.main(
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        out="shared/plan.json",
        volume="shared/v",
        voxel_nm=VOXEL,
        export=PLANNED | {"crop": UNCUT | crop},
        render=RENDER,
    )
    return slabs.Plan.from_json(files.read_json("shared/plan.json")).spec


def test_what_all_layers_share_has_no_empty_margin(whole, monkeypatch):
    folder, plan = whole
    monkeypatch.chdir(folder)
    shared = planned({"shared_by": 1})
    corner = np.subtract(shared.origin_px_zyx, plan.spec.origin_px_zyx)
    inside = tuple(slice(c, c + n) for c, n in zip(corner, shared.shape_zyx, strict=True))
    margin = voxels(plan)[inside] == 0
    assert margin[:, 1:-1, 1:-1].sum() == 0
    assert (voxels(plan) == 0).any()
    assert np.prod(shared.shape_zyx[1:]) > 0.8 * (60 + W) * H  # of one layer
    both = planned({"shared_by": 1, "x_px": [20, 60], "z_px": [6, 17]})
    assert (both.origin_px_zyx[0], both.origin_px_zyx[2]) == (6, 20)
    assert (both.shape_zyx[0], both.shape_zyx[2]) == (11, 40)


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


@pytest.mark.parametrize(
    ("span", "layers", "settings"),
    [
        (1, 7, {"formats": ["n5", "zarr3"], "review": True}),  # spans end within files of s1
        (4, 4, {"formats": ["n5"]}),
    ],
)
def test_a_pyramid_made_span_by_span_has_the_same_files(
    tmp_path, monkeypatch, span, layers, settings
):
    """Every task is made once, by a span or by the last job."""
    settings |= {"task_px": 32, "block_zyx_px": [4, 16, 16], "shard_blocks_zyx": [1, 2, 2]}
    monkeypatch.chdir(tmp_path)
    publish(tmp_path, LAYERS, chunk=layers)
    coordinates(LAYERS, shift=0.3)
    export("whole", **settings)
    plan = export("spans", span=span, **settings)
    assert contents("spans") == contents("whole")
    made = [files.read_json(path)["levels"] for path in sorted(Path("spans/spans").glob("*"))]
    assert sum(len(levels[1]) for levels in made) > 0
    places = [str(row["zyx"]) for levels in made for row in levels[1]]
    rest = files.read_json("spans/pyramid.json")["levels"][0]
    places += [str(row["zyx"]) for row in rest]
    assert len(places) == len(set(places))
    folder = plan.targets[0].folder(1)
    next(p for p in folder.rglob("*") if p.is_file() and p.name.isdigit()).unlink()
    with pytest.raises(UserError, match="export/spans"):  # spans are read back, too
        close(Path("spans"))


def contents(folder):
    """Bytes of all files of the volumes below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for store in Path(folder).glob("v.*")
        for path in store.rglob("*")
        if path.is_file()
    }
