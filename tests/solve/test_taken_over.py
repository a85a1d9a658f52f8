"""Transforms of another pipeline: whose tiles they are, patches, and residuals under them."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.lib.job import UserError
from scripts.lib.service.records import Leaf, Ref, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.solve import solver, taken_over
from scripts.solve.graph import graph_of, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options
from tests.solve import synthetic

SCAN = Leaf("org.janelia.alignment.transform.SEMDistortionTransformA", "3 12 2 60 0", "correct")


def name(z, column=0):
    return f"24-03-07_1011{z:02d}_0-0-{column}.{z}.0"


def tile(z, column=0, data="1 0 0 1 7 0", **changed):
    layer = f"Merlin-6284_24-03-07_1011{z:02d}"
    spec = TileSpec(
        tile_id=name(z, column), z=float(z), width=60, height=40, row=0, column=column,
        image_url=f"file:///here/{layer}.uint8.h5?dataSet=/0-0-{column}/mipmap.0&z=0",
        transforms=(Ref("correct"), Leaf(AFFINE, data)),
    )  # fmt: skip
    return replace(spec, **changed)


SHARED = {"correct": SCAN}
ACQUIRED = {str(t.tile_id): t for t in (tile(z, c) for z in (1, 2, 3) for c in (0, 1))}


def compared(*tiles, shared=None):
    found = taken_over.Compared("v1_align", ACQUIRED, SHARED)
    found.add(TileSet(tiles, shared or SHARED))
    return found


def solved(z, column=0, **changed):
    return tile(z, column, data=f"1.5 0.25 -0.125 0.75 {z} {column}", **changed)


def refused(*tiles, patch=(), **how):
    with pytest.raises(UserError) as error:
        compared(*tiles, **how).require(patch)
    return str(error.value)


def test_affines_are_taken_as_they_are_and_tiles_that_are_absent_are_named():
    found = compared(*(solved(z, c) for z in (1, 2) for c in (0, 1)), solved(3))
    found.require([])
    assert found.affines[name(2, 1)] == [1.5, 0.25, -0.125, 0.75, 2, 1]
    rows = found.rows()
    assert [row["tile_id"] for row in rows if row["state"] == "absent"] == [name(3, 1)]
    figures = found.receipt(rows)
    assert (figures["tiles"], figures["taken"], figures["absent"]) == (5, 5, 1)


def test_files_may_lie_elsewhere_and_be_those_of_16_bit():
    moved = "file:///other/raw/Merlin-6284_24-03-07_101101.raw-archive.h5?dataSet=/0-0-0/c0"
    compared(solved(1, image_url=moved)).require([])


def test_tiles_of_another_volume_size_image_and_correction_are_a_line_each():
    other = {"correct": Leaf(SCAN.class_name, "19.4 64.8 24.4 972.0 0", "correct")}
    said = refused(
        solved(1, tile_id="25-01-01_000000_0-0-0.1.0"),
        solved(2, width=64),
        solved(3, image_url=tile(2).image_url),
        shared=other,
    ).splitlines()
    assert len(said) == 4
    assert all(line.startswith("takeover.render.stack: v1_align: ") for line in said)
    assert "tiles are none of this volume: 25-01-01_000000_0-0-0.1.0" in said[0]
    assert "have another size: " in said[1]
    assert "with 64 x 40 px, not 60 x 40" in said[1]
    assert "SEMDistortionTransformA 19.4 64.8 24.4 972 0, not" in said[2]
    assert "with Merlin-6284_24-03-07_101102 0-0-0, not Merlin-6284_24-03-07_101103" in said[3]


def test_a_stack_without_tiles_and_a_last_transform_that_is_no_affine_are_told():
    assert "it holds no tile" in refused()
    bent = solved(1, transforms=(Ref("correct"), Leaf("x.ThinPlateSplineTransform", "1 2")))
    assert "1 of 1 tiles have no affine as their last transform" in refused(bent)


PATCH = {"cell": "0,0", "z": 2, "from": -1, "reason": "as in v1_align"}


def patch_tile():
    return replace(solved(1), tile_id="24-03-07_101101_0-0-0.patch.2.0", z=2.0)


def test_patches_are_made_here_too_by_lines_that_the_message_has():
    tiles = (solved(1), patch_tile(), solved(3))
    said = refused(*tiles)
    assert "1 patch(es) are missing in review.patch, add: " in said
    assert '{cell: "0,0", z: 2, from: -1, reason: as in v1_align}' in said
    found = compared(*tiles)
    found.require([PATCH])
    states = {row["tile_id"]: row["state"] for row in found.rows()}
    assert (states[name(2)], states[name(2, 1)]) == ("replaced", "absent")


def test_of_a_range_of_layers_nothing_outside_is_asked_for_or_looked_at():
    other = solved(3, tile_id="25-01-01_000000_0-0-0.3.0")
    found = taken_over.Compared("v1_align", ACQUIRED, SHARED, (1, 2))
    found.add(TileSet((solved(1), solved(2), solved(2, 1), other), SHARED))
    far = PATCH | {"z": 3}
    found.require([far])
    states = [row["state"] for row in found.rows()]
    assert states == ["taken", "absent", "taken", "taken", "outside", "outside"]
    assert found.receipt(found.rows())["outside"] == 2
    assert "review.patch has 0,0 at z 2" in found.missing_patches([PATCH])[0]


def test_patches_inside_of_the_range_are_asked_for_and_others_are_not():
    tiles = (solved(1), patch_tile(), solved(3))
    for limits, missing in (((2, 3), 1), ((3, 3), 0)):
        found = taken_over.Compared("v1_align", ACQUIRED, SHARED, limits)
        found.add(TileSet(tiles, SHARED))
        assert len(found.missing_patches([])) == missing


def test_a_patch_that_the_stack_has_not_is_told():
    said = refused(solved(1), patch=[PATCH])
    assert "review.patch has 0,0 at z 2, which the stack has not" in said


def test_what_a_solve_found_has_the_same_residuals_when_it_is_taken_over():
    options, rng = Options(), np.random.default_rng(3)
    specs = synthetic.grid(range(1, 9), 1, 2)
    pairs = synthetic.matches(specs, synthetic.shaken(specs, rng), rng)
    tiles = tiles_of([specs])
    graph = graph_of(tiles, of_matches(pairs), options.weighting)
    whole = solver.solve(tiles, graph, options)
    affines = {
        str(key): [float(v) for v in np.asarray(affine).T.ravel()]
        for key, affine in zip(tiles.ids, tiles.affines(whole.placement), strict=True)
    }
    taken = taken_over.solved(tiles, graph, options, affines, [tiles.z[len(tiles) // 2]])
    assert np.allclose(taken.placement, whole.placement, atol=1e-9)
    assert np.allclose(taken.residual, whole.residual, atol=1e-9)
    assert set(taken.reference.groups.tolist()) == {0, 1}
    del affines[str(tiles.ids[0])]
    with pytest.raises(UserError, match="1 of .* tiles have no transform there"):
        taken_over.solved(tiles, graph, options, affines)
