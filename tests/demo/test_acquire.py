"""The synthetic acquisition is what its truth says it is."""

import json
import struct

import numpy as np
import pytest
from scipy import ndimage

from scripts.demo import acquire, dat, plan, score
from scripts.demo.plan import Settings
from scripts.lib import files, geometry, truth

SMALL = Settings(
    seed=3,
    layers=5,
    tile_height=48,
    tile_width=64,
    resin_layers=2,
    corrupt_layer=3,
    restart_layer=2,
    noise=0.0,
    shading=0.0,
    jitter=0.5,
    drift=1.0,
    stage_error=0.7,
)


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    out = tmp_path_factory.mktemp("acquisition")
    return out, acquire.acquire(SMALL, out)


def pixels(out, tile):
    data = (out / "dat" / tile["file"]).read_bytes()
    w, h = struct.unpack(">II", data[100:108])
    return np.frombuffer(data[1024 : 1024 + 2 * w * h], ">i2").reshape(h, w).astype(float)


def test_a_file_is_header_pixels_and_recipe(acquisition):
    out, made = acquisition
    data = (out / "dat" / made["tiles"][0]["file"]).read_bytes()
    magic, version = struct.unpack(">IH", data[:6])
    (length,) = struct.unpack(">q", data[1000:1008])
    assert (magic, version) == (3555587570, 9)
    assert length == 1024 + 2 * 48 * 64
    assert data[length:] == dat.RECIPE


def test_the_header_carries_the_stage_position(acquisition):
    out, made = acquisition
    tile = made["tiles"][3]
    data = (out / "dat" / tile["file"]).read_bytes()
    assert list(struct.unpack(">ii", data[70:78])) == tile["stage_xy"] == [51, 38]


def test_the_corrupt_tile_ends_early_and_is_the_only_one(acquisition):
    out, made = acquisition
    (bad,) = (t for t in made["tiles"] if t["corrupt"])
    assert bad["layer"] == 3
    assert (out / "dat" / bad["file"]).stat().st_size == 1024 + 2 * 64 * bad["corrupt"]["first_row"]


def test_resin_hides_the_first_corner_in_the_first_layers(acquisition):
    _, made = acquisition
    resin = [(t["layer"], t["row"], t["column"]) for t in made["tiles"] if t["kind"] == "resin"]
    assert resin[:2] == [(0, 0, 0), (1, 0, 0)]
    assert {cell[1:] for cell in resin} == {(0, 0)}


def test_overlapping_tiles_show_the_same_specimen_where_the_truth_says(acquisition):
    out, made = acquisition
    left, right = (t for t in made["tiles"] if t["layer"] == 4 and t["row"] == 0)
    a, b = pixels(out, left), pixels(out, right)
    v, u = np.mgrid[8:40, 56:63]
    world = geometry.apply(
        geometry.from_wire(left["true_affine"]), np.stack([scanned(u), v], axis=-1)
    )
    back = geometry.apply(geometry.invert(geometry.from_wire(right["true_affine"])), world)
    columns = unscanned(back[..., 0])
    there = ndimage.map_coordinates(b, (back[..., 1], columns), order=3)
    assert np.corrcoef(a[v, u].ravel(), there.ravel())[0, 1] > 0.97


def scanned(u):
    a, b, c, d = SMALL.scan
    return u + a * np.exp(-u / b) + c * np.exp(-u / d)


def unscanned(x):
    grid = np.arange(0, SMALL.tile_width, 0.01)
    return np.interp(x, scanned(grid), grid)


def test_the_same_seed_gives_the_same_bytes(acquisition, tmp_path):
    out, _ = acquisition
    acquire.acquire(SMALL, tmp_path)
    for path in sorted(out.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / path.relative_to(out)).read_bytes(), path.name


def test_layers_are_as_thick_as_one_on_average_and_never_negative():
    z = plan.plan_motion(Settings(layers=400)).z
    steps = np.diff(z)
    assert steps.min() > 0.25
    assert steps.mean() == pytest.approx(1.0, abs=0.08)


def test_file_names_carry_scope_stamp_and_cell(acquisition):
    _, made = acquisition
    assert made["tiles"][1]["file"] == "Merlin-6284_24-03-07_101112_0-0-1.dat"


def test_the_pause_of_the_restart_is_in_the_stamps():
    quiet, paused = Settings(restart_layer=0), Settings(restart_layer=30)
    assert plan.stamp(quiet, 29) == plan.stamp(paused, 29)
    assert plan.stamp(quiet, 30) == "24-03-07_104212"
    assert plan.stamp(paused, 30) == "24-03-07_112212"


def test_the_command_line_writes_what_it_is_told(tmp_path):
    acquire.main([str(tmp_path), "--layers", "2", "--tile", "32", "40", "--grid", "1", "1"])
    made = truth.read_truth(tmp_path / "truth.json")
    assert [t["file"] for t in made["tiles"]] == sorted(
        p.name for p in (tmp_path / "dat").iterdir()
    )


def test_score_prints_the_errors_beside_those_of_the_stage(acquisition, tmp_path, capsys):
    out, made = acquisition
    z_of = {t["tile_id"]: t["layer"] + 1 for t in made["tiles"]}
    tiles = {f"{t['tile_id']}.{z_of[t['tile_id']]}.0": t["true_affine"] for t in made["tiles"]}
    files.write_json(tmp_path / "solve" / "transforms.json.gz", {"tiles": tiles})
    rows = [{"z": x["layer"] + 1, "layer_id": f"M_{x['stamp']}"} for x in made["layers"]]
    files.write_table(tmp_path / "ingest" / "layers.tsv", ("z", "layer_id"), rows)
    assert score.main([str(tmp_path), str(out / "truth.json")]) == 0
    printed = capsys.readouterr().out
    assert "0.000" in printed
    assert "report/index.html (not made yet)" in printed


def test_a_run_without_a_solve_says_so(acquisition, tmp_path, capsys):
    out, _ = acquisition
    assert score.main([str(tmp_path), str(out / "truth.json")]) == 1
    assert "transforms.json.gz" in capsys.readouterr().err


def test_truth_is_plain_json_of_the_documented_form(acquisition):
    out, _ = acquisition
    value = json.loads((out / "truth.json").read_text())
    assert value["format"] == "misaligned-fibsem-truth/1"
    assert value["scan_correction"]["dataString"] == "3 12 2 60 0"
    assert {"tile_id", "true_affine", "stage_xy", "kind", "corrupt"} <= value["tiles"][0].keys()
