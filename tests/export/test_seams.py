"""Seams in the exported voxels: what was exported is measured, not what the stack says now."""

import dataclasses
import functools

import numpy as np
import pytest
from scipy import ndimage

from scripts.export import build_pyramid, check_slab, close_export, render_slab, seams
from scripts.export.interpolation import Mixture
from scripts.lib import files
from scripts.lib.drawing.maps import Placed
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import TileSpec
from scripts.lib.transforms import Chain
from scripts.lib.volumes import multiscale
from tests.export.synthetic import RENDER, publish
from tests.export.test_export_jobs import EXPORT, VIEWER, coordinates, plan

LAYERS = range(3, 8)
HOW = {"layers": 2, "window_px": 96, "reach_px": 12, "windows": 16}


def grown():
    """Tissue of structures of some px, as wide as the stack, a little other in each layer."""
    rng = np.random.default_rng(5)
    field = ndimage.gaussian_filter(rng.normal(size=(20, 120, 200)), (2.5, 1.6, 1.6))
    return 120 + 35 * field / field.std()


TISSUE = grown()


def tissue(x, y, z):
    x, y, z = np.broadcast_arrays(x + 20, y + 20, z)
    return ndimage.map_coordinates(TISSUE, [z, y, x], order=3, mode="nearest")


def moved(dx, dy):
    """Tissue as a tile of the right column shows it that lies (dx, dy) beside its place."""

    def content(x, y, z):
        off = x.mean() > 90  # a tile's own pixels: the right column
        return tissue(x + dx * off, y + dy * off, z)

    return content


def exported(folder, content, blend="feather", shift=0.0):
    """Publish and export one slab; gives the plan."""
    publish(folder, LAYERS, content=content)
    coordinates(LAYERS, shift)
    what = plan()
    render_slab.main(
        plan="export/plan.json",
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        out="export/slabs/0000.json",
        chunk="0000",
        render=RENDER,
        export=EXPORT | {"blend": blend},
    )
    return what


def checked(blend="feather", **how):
    check_slab.main(
        plan="export/plan.json",
        slab="export/slabs/0000.json",
        out="export/checked/0000.json",
        receipt="stacks/s.json",
        coordinates="zcorr/Zcoords.txt",
        render=RENDER,
        seam=EXPORT | {"blend": blend} | HOW | how,
    )
    return files.read_json("export/checked/0000.json")["seams"]


@pytest.mark.parametrize(("blend", "shift"), [("feather", 0.4), ("last", 0.0)])
def test_a_volume_whose_tiles_meet_says_so(workdir, blend, shift):
    exported(workdir, tissue, blend, shift)
    rows = checked(blend)
    assert len(rows) == 2  # layers, of one overlap each
    assert all(row["px"] < 0.1 and row["correlation"] > 0.95 for row in rows)
    assert rows[0]["p_id"] == f"t{rows[0]['z']:03d}-0"
    assert rows[0]["q_cell"] == "0-1"


@pytest.mark.parametrize(("blend", "shift"), [("feather", 0.0), ("feather", 0.4), ("last", 0.4)])
def test_what_tiles_lie_apart_is_measured_in_the_voxels(workdir, blend, shift):
    """Feathered voxels are a mean of both tiles: taken for one of them they hide half of it."""
    exported(workdir, moved(2.0, -1.5), blend, shift)
    for row in checked(blend):
        off = np.subtract((row["dx_px"], row["dy_px"]), (-2.0, 1.5))
        assert np.hypot(*off) < max(0.15, 3 * row["error_px"])
        assert row["correlation"] < 0.6


def test_voxels_of_another_stack_are_found_though_its_tiles_meet(workdir):
    exported(workdir, moved(3.0, 0.0))
    publish(workdir, LAYERS, content=tissue)  # what stands now was aligned well, and not exported
    assert all(row["px"] > 1 for row in checked())


def test_blocks_that_hold_another_place_are_not_found_again(workdir):
    what = exported(workdir, tissue)
    for target in what.targets:
        level = multiscale.open_level(target, 0)
        region = tuple(slice(0, n) for n in level.shape_zyx)
        level.write(region, np.ascontiguousarray(level.read(region)[:, ::-1]))
    tiles = RenderClient(**RENDER).tiles
    how = seams.How(**(EXPORT | HOW))
    stack = functools.partial(tiles, "s")
    found = seams.of_slab(what, (0, 5), "zcorr/Zcoords.txt", stack, how)
    assert [row["used"] for row in found] == [0, 0]


def test_layers_are_spread_over_those_that_show_anything():
    one = Mixture(1, 1, 1.0)
    assert seams.sampled((8, 14), [None, one, one, one, one, one], 1) == [11]
    assert seams.sampled((8, 14), [one] * 6, 4) == [9, 10, 11, 12]
    assert seams.sampled((8, 11), [one] * 3, 9) == [8, 9, 10]
    assert seams.sampled((8, 10), [None, None], 4) == []
    assert seams.sampled((8, 14), [one] * 6, 0) == []


def test_a_patch_is_not_asked_nor_a_layer_without_the_tile():
    own = [placed("0-0"), placed("0-1")]
    cells = ((0, 0), (0, 1))
    assert seams.shows(own, cells)
    assert not seams.shows(own[:1], cells)
    assert not seams.shows([own[0], placed("0-1", patch=True)], cells)
    assert not seams.shows([*own, placed("0-1")], cells)  # which of the two is shown?


def placed(cell, patch=False):
    row, column = map(int, cell.split("-"))
    tile = TileSpec(f"t{cell}", 1.0, 9, 9, "file:///x", (), row=row, column=column)
    return Placed(dataclasses.replace(tile, labels=("patch",) if patch else ()), Chain(()))


def test_all_seams_stand_in_one_table(workdir):
    exported(workdir, tissue)
    rows = checked()
    build_pyramid.main(
        plan="export/plan.json", slab_records=["export/slabs/0000.json"], out="export/pyramid.json"
    )
    close_export.main(
        plan="export/plan.json",
        slab_records=["export/slabs/0000.json"],
        pyramid="export/pyramid.json",
        out="export/volume.json",
        volume="v",
        **VIEWER,
        checked=["export/checked/0000.json"],
        seam_table="export/seams.tsv",
    )
    table = files.read_table("export/seams.tsv")
    assert [row["p_id"] for row in table] == [row["p_id"] for row in rows]
    assert list(table[0]) == list(seams.COLUMNS)
