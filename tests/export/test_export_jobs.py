"""The whole export of an analytic stack: right values at right places, faults found."""

import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore
from zarr_n5 import N5WrapperStore

from scripts.export import (
    build_pyramid,
    check_slab,
    close_export,
    disk,
    journal,
    plan_export,
    render_slab,
    slabs,
)
from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.volumes import multiscale
from tests.export.synthetic import RENDER, publish, smooth
from tests.export.test_slabs import EXPORT as PLANNED
from tests.export.test_slabs import VOXEL

EXPORT = {
    "blend": "feather",
    "interpolation": "linear",
    "z_correction": True,
    "fill_gaps": "interpolate",
}
VIEWER = {"data_url": "http://127.0.0.1:8080/files", "neuroglancer_url": "https://viewer"}
CHUNKS = ["0000", "0001", "0002"]
LAYERS = range(3, 23)


def coordinates(layers, shift=0.0):
    """Zcoords whose inner layers all lie `shift` off nominal."""
    ends = (min(layers), max(layers))
    lines = [f"{z} {z + (0 if z in ends else shift):.6f}\n" for z in layers]
    files.write_text("zcorr/Zcoords.txt", "".join(lines))


def plan():
    plan_export.main(
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        out="export/plan.json",
        volume="v",
        voxel_nm=VOXEL,
        export=PLANNED,
    )
    return slabs.Plan.from_json(files.read_json("export/plan.json"))


def slab(chunk, **options):
    render_slab.main(
        plan="export/plan.json",
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        out=f"export/slabs/{chunk}.json",
        chunk=chunk,
        render=RENDER,
        export=EXPORT | options,
    )


def pyramid():
    Path("export/pyramid.json").unlink(missing_ok=True)  # as Snakemake does before a job
    records = [f"export/slabs/{chunk}.json" for chunk in CHUNKS]
    build_pyramid.main(plan="export/plan.json", slab_records=records, out="export/pyramid.json")


def check(chunk):
    check_slab.main(
        plan="export/plan.json",
        slab=f"export/slabs/{chunk}.json",
        out=f"export/checked/{chunk}.json",
    )


def close():
    close_export.main(
        plan="export/plan.json",
        slab_records=[f"export/slabs/{chunk}.json" for chunk in CHUNKS],
        pyramid="export/pyramid.json",
        out="export/volume.json",
        volume="v",
        **VIEWER,
    )


def export(**options):
    found = plan()
    for chunk in CHUNKS:
        slab(chunk, **options)
        check(chunk)
    pyramid()
    close()
    return found


def n5(level):
    store = N5WrapperStore(LocalStore("v.n5"))
    return np.asarray(zarr.open_array(store=store, path=f"em/fibsem-uint8/s{level}", mode="r")).T


def ome(level):
    return zarr.open_group("v.zarr", mode="r")[f"recon-1/em/fibsem-uint8/s{level}"][...]


def truth(spec, level, content=smooth):
    """The specimen at the voxel centres of a level."""
    f = 1 << level
    z, y, x = (
        o + f * np.arange(n) + (f - 1) / 2
        for o, n in zip(spec.origin_px_zyx, spec.level_shape(level), strict=True)
    )
    return content(x, y[:, None], z[:, None, None])


def inside(values, margin):
    """A part in the middle that tiles cover in every layer."""
    return values[:, margin:-margin, margin:-margin]


def test_both_volumes_show_the_specimen_at_its_place_at_every_level(workdir):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    spec = export().spec
    assert spec.levels == 4
    for level in range(spec.levels):
        assert np.array_equal(n5(level), ome(level))
    for level, tolerance in ((0, 1.3), (1, 1.6), (2, 3.0)):
        error = inside(n5(level) - truth(spec, level), 12 >> level)
        assert np.abs(error).max() < tolerance
        assert abs(error.mean()) < 0.05 + level / 8  # each level rounds halves up: 1/16 on average


def test_layers_are_placed_at_their_corrected_z(workdir):
    def climbing(x, y, z):
        return np.full(np.broadcast(x, y, z).shape, 10.0 * z)

    publish(workdir, LAYERS, climbing)
    coordinates(LAYERS, shift=0.4)
    export()
    middle = ome(0)[:, 30, 60]
    assert middle[2:-2].tolist() == [round(10 * (z - 0.4)) for z in range(5, 21)]
    assert (middle[0], middle[-1]) == (30, 220)


def test_without_z_correction_layers_stay_where_they_were_acquired(workdir):
    publish(workdir, LAYERS, lambda x, y, z: np.full(np.shape(x), 10.0 * z))
    coordinates(LAYERS, shift=0.4)
    export(z_correction=False)
    assert ome(0)[:, 30, 60].tolist() == [10 * z for z in LAYERS]


@pytest.mark.parametrize(("policy", "value"), [("interpolate", 100), ("leave", 0)])
def test_a_missing_layer_is_filled_or_left_by_policy(workdir, policy, value):
    there = [z for z in LAYERS if z != 10]
    publish(workdir, there, lambda x, y, z: np.full(np.shape(x), 10.0 * z))
    coordinates(there)
    export(fill_gaps=policy)
    assert ome(0)[7, 30, 60] == value
    assert ome(0)[6, 30, 60] == 90


def test_missing_last_layers_are_empty_and_keep_their_place(workdir):
    publish(workdir, range(3, 20), last=22)
    coordinates(range(3, 20))
    spec = export().spec
    assert spec.shape_zyx[0] == 20
    assert (ome(0)[17:] == 0).all()
    assert (ome(0)[16, 20:50, 20:100] > 0).all()


def test_a_second_run_of_a_slab_writes_the_same_bytes(workdir):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    plan()
    stored = []
    for _ in range(2):
        slab("0001")
        found = [p for p in workdir.rglob("v.*/**/*") if p.is_file()]
        stored.append({p: p.read_bytes() for p in [*found, workdir / "export/slabs/0001.json"]})
    assert stored[0] == stored[1]


def test_a_slab_of_the_same_voxels_is_not_drawn_again(workdir, monkeypatch):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    plan()
    slab("0001")
    before = Path("export/slabs/0001.json").read_bytes()
    Path("export/slabs/0001.json").unlink()
    monkeypatch.setattr(render_slab, "_column", None)  # draws; it must not be called
    slab("0001")
    assert Path("export/slabs/0001.json").read_bytes() == before
    publish(workdir, LAYERS, lambda x, y, z: np.full(np.shape(x), 7.0))
    with pytest.raises(TypeError):
        slab("0001")


def volume_bytes(folder):
    return {p: p.read_bytes() for p in sorted(folder.glob("v.*/**/*")) if p.is_file()}


def test_one_walk_removes_what_killed_jobs_left_and_counts_the_rest(workdir, monkeypatch):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    monkeypatch.setitem(PLANNED, "review", True)
    found = export()
    places = ["v.n5/em/fibsem-uint8/s0/0/0", "v.zarr/recon-1/em/fibsem-uint8", "v.zarr", "v.n5/em"]
    left = [Path(place, ".1.0123abcd.partial") for place in places]
    left.append(Path("v.zarr/recon-1/em/fibsem-uint8_review/s1/0.__lock"))
    for path in left:
        path.write_text("half")
    before = {path for path in volume_bytes(workdir) if path not in map(workdir.joinpath, left)}
    counts = disk.sweep(found)
    assert set(volume_bytes(workdir)) == before
    for kind, each in found.kinds.items():
        for target, levels in zip(each.targets, counts[kind], strict=True):
            folders = [target.folder(level).resolve() for level in range(each.spec.levels)]
            files_of = [
                [p for p in f.rglob("*") if p.name.isdigit() and p.is_file()] for f in folders
            ]
            assert levels == [len(some) for some in files_of]
            assert all(levels)


def test_lost_and_damaged_blocks_are_named_and_they_alone_are_written_again(workdir, monkeypatch):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    export()
    before = volume_bytes(workdir)
    blocks = sorted((workdir / "v.zarr/recon-1/em/fibsem-uint8/s0/1").rglob("*/*"))
    blocks[0].unlink()
    with pytest.raises(UserError, match=r"v\.zarr.*s0: \d+ files are stored, expected"):
        close()
    with pytest.raises(UserError, match=r"v\.zarr.*s0 voxels z, y, x \[\[8, 16\]"):
        check("0001")
    columns = []
    render = render_slab._column
    monkeypatch.setattr(render_slab, "_column", lambda *a: columns.append(a) or render(*a))
    slab("0001")
    assert len(columns) == 1  # of several
    check("0001")
    n5_block = next(p for p in (workdir / "v.n5/em/fibsem-uint8/s1").rglob("*/*/*"))
    n5_block.write_bytes(n5_block.read_bytes()[:40])
    with pytest.raises(UserError, match=r"v\.n5.*s1"):
        close()
    pyramid()
    close()
    assert volume_bytes(workdir) == before


@pytest.mark.parametrize("formats", [["n5", "zarr"], ["n5", "zarr", "zarr3"]])
def test_levels_made_in_memory_are_those_made_from_what_is_stored(workdir, monkeypatch, formats):
    publish(workdir, range(3, 24), chunk=16)  # 21 layers: odd, and a slab that is cut
    coordinates(range(3, 24))
    monkeypatch.setattr(sys.modules[__name__], "CHUNKS", ["0000", "0001"])
    both = []
    for task_px in (64, 16):
        monkeypatch.setitem(PLANNED, "formats", formats)
        monkeypatch.setitem(PLANNED, "task_px", task_px)
        found = export()
        made = [len(rows) for rows in files.read_json("export/slabs/0000.json")["levels"]]
        both.append(volume_bytes(workdir))
        assert found.levels_at_once == len(made) == (2 if task_px == 64 else 1)
        for target in found.targets:
            for level in range(found.spec.levels):
                for path in target.folder(level).rglob("*"):
                    if path.is_file() and path.name.isdigit():
                        path.unlink()
    assert both[0] == both[1]


def test_a_journal_of_other_voxels_is_worth_nothing(workdir):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    what = export()
    record = files.read_json("export/slabs/0001.json")
    rows = {"levels": record["levels"]}
    notes = Path("export/journals/0001.jsonl")
    notes.unlink()
    journal.Journal(notes, "another").add(slabs.areas(what, 0)[0], rows)
    assert journal.Journal(notes, record["key"]).finished(what) == {}
    journal.Journal(notes, record["key"]).add(slabs.areas(what, 0)[0], rows)
    with notes.open("a") as file:
        file.write('{"area": [0, 32], "lev')  # torn
    assert list(journal.Journal(notes, record["key"]).finished(what)) == [(0, 0)]


def test_empty_blocks_are_not_stored_and_closing_knows(workdir):
    publish(workdir, LAYERS, lambda x, y, z: np.full(np.shape(x), 100.0 if z < 11 else 0.0))
    coordinates(LAYERS)
    found = export()
    description = files.read_json("export/volume.json")
    assert description["levels"][0]["blocks"] == multiscale.count_blocks(found.targets[0], 0)


def test_volume_json_tells_where_the_volume_lies_and_how_to_look_at_it(workdir):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    spec = export().spec
    found = files.read_json("export/volume.json")
    assert found["shape_zyx"] == list(spec.shape_zyx)
    assert found["voxels"] == int(np.prod(spec.shape_zyx))
    assert found["origin_nm_zyx"][0] == 3 * 8.0
    by_n5, by_zarr = (target["neuroglancer"] for target in found["targets"])
    assert by_n5["state"]["layers"][0]["source"]["url"].endswith("v.n5/em/fibsem-uint8")
    matrix = by_n5["state"]["layers"][0]["source"]["transform"]["matrix"]
    assert [row[3] for row in matrix] == [o - 0.5 for o in spec.origin_px_zyx[::-1]]
    low, high = by_n5["state"]["layers"][0]["shaderControls"]["normalized"]["range"]
    assert 35 < low < 60 < 180 < high < 205  # of values from 40 to 200
    assert by_zarr["link"].startswith("https://viewer/#!%7B")


def test_an_existing_export_of_another_shape_is_replaced(workdir):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    export()
    publish(workdir, range(3, 12))
    coordinates(range(3, 12))
    found = plan()
    assert found.spec.shape_zyx[0] == 9
    assert multiscale.count_blocks(found.targets[0], 0) == 0


def test_while_a_volume_grows_a_slab_that_no_job_drew_since_is_not_read_back(workdir, monkeypatch):
    publish(workdir, LAYERS)
    coordinates(LAYERS)
    export()
    looked, faults = [], check_slab.damage.faults
    monkeypatch.setattr(
        check_slab.damage, "faults", lambda *what: looked.append(1) or faults(*what)
    )

    def checks(*, grows=True):
        looked.clear()
        paths = {name: f"export/{name}/0001.json" for name in ("slabs", "checked")}
        before = Path(paths["checked"]).read_bytes()
        Path(paths["checked"]).unlink()
        check_slab.main(
            plan="export/plan.json", slab=paths["slabs"], out=paths["checked"], grows=grows
        )
        assert Path(paths["checked"]).read_bytes() == before
        return bool(looked)

    assert checks()  # by force: no job has looked at the slab since it was read
    slab("0001")
    assert not checks()
    slab("0001")
    assert checks(grows=False)
    Path("export/journals/0001.jsonl").unlink()
    slab("0001")
    assert checks()
