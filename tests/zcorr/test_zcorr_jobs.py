"""The jobs of the stage, on a stack of the embedded service."""

import html
import textwrap
from dataclasses import asdict

import numpy as np
import pytest
import yaml
import zarr
from ome_zarr_models import open_ome_zarr

from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import TileSet
from scripts.zcorr import check_thickness, correlate_layers, infer_z
from scripts.zcorr.changes import Limits
from tests.export.synthetic import RENDER, publish

ZCORR = {
    "inference": "isotropic",
    "keep_thickness": 0.08,
    "isotropy_error": 0.08,
    "isotropy_error_layers": 3,
    **asdict(Limits()),
    "repeated_correlation": 0.98,
    "window_px": 512,
    "windows": 16,
    "region_px": 40,
    "gate_problem_pct": 10,
    "gate_few_layers": 0,
    "accept_layers": [],
    "scale": 0.22,
    "min_picture_px": 512,
    "comparison_range": 3,
    "resin_masking": True,
    "resin_sigma_px": 20,
    "resin_content_threshold": 3.0,
    "scaling_factor_regularizer": 1.0,
    "coordinate_regularizer": 0.1,
    "shift_proportion": 0.6,
    "iterations": 100,
    "minimum_section_thickness": 1e-4,
    "regularization": "BORDER",
    "scaling_factor_iterations": 10,
    "reorder": False,
    "force_monotonicity": False,
    "local_estimates": 1,
    "minimum_correlation": 0.0,
    "edge_layers": 0,
    "problem_correlation": 0.0,
    "problem_deviations": 6.0,
    "picture_px": 60,
}
LAYERS = [z for z in range(3, 15) if z != 7]


def arrays(path):
    with np.load(path) as stored:
        return dict(stored)


def moving(x, y, z):
    """Waves that move with z: neighbours correlate, the farther the less."""
    return 120 + 50 * np.sin(x / 6 + z / 4) + 50 * np.sin(y / 5 - z / 5)


def correlate(chunk):
    correlate_layers.main(
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        correlations=f"zcorr/correlations/{chunk}.npz",
        layers=f"zcorr/layers/{chunk}.npz",
        chunk=chunk,
        render=RENDER,
        zcorr=ZCORR,
    )


OUT = {
    "coordinates": "zcorr/coordinates.txt",
    "report": "zcorr/qc.json",
    "page": "zcorr/thickness.html",
    "proposals": "zcorr/proposals.yaml",
    "regions": "zcorr/regions.npz",
}


def infer(chunks, **changes):
    files.write_table("ingest/layers.tsv", ("z", "layer_id"), [])
    infer_z.main(
        correlations=[f"zcorr/correlations/{chunk}.npz" for chunk in chunks],
        layers=[f"zcorr/layers/{chunk}.npz" for chunk in chunks],
        names="ingest/layers.tsv",
        out=OUT,
        volume="v",
        grid=(1, 2),
        zcorr=ZCORR | changes,
    )
    check(**changes)


def gate_of(**changes):
    section = ZCORR | changes
    return {key: section[key] for key in ("gate_problem_pct", "gate_few_layers", "accept_layers")}


def check(**changes):
    inputs = {name: OUT[name] for name in ("report", "coordinates", "proposals")}
    inputs["layers"] = "ingest/layers.tsv"
    out = {"gate": "zcorr/gate.json", "coordinates": "zcorr/Zcoords.txt"}
    check_thickness.main(inputs=inputs, out=out, **gate_of(**changes))


def test_stage_gives_true_z_for_present_layers_and_names_the_missing_one(workdir):
    publish(workdir, LAYERS, moving, chunk=5)
    chunks = ["0000", "0001", "0002"]
    for chunk in chunks:
        correlate(chunk)
    infer(chunks)
    lines = [line.split() for line in (workdir / "zcorr/Zcoords.txt").read_text().splitlines()]
    assert [int(z) for z, _ in lines] == LAYERS
    assert (float(lines[0][1]), float(lines[-1][1])) == (3.0, 14.0)
    report = files.read_json("zcorr/qc.json")
    assert [row["z"] for row in report["layers"] if row["problem"] == "no image"] == [7]
    assert report["figures"]["layers"] == 11
    assert report["layers"][0]["cc_next"] > 0.9
    part = arrays("zcorr/correlations/0000.npz")
    assert part["z"].tolist() == [3, 4, 5, 6, 7]
    assert np.isfinite(part["corr"][3]).tolist() == [False, True, True]


def released(workdir, values, keep, **settings):
    """The z that the gate releases of inferred ones, as text by layer."""
    files.write_text(OUT["coordinates"], "".join(f"{z} {v:.6f}\n" for z, v in values.items()))
    rows = [{"z": z, "cc_next": 0.9, "problem": None} for z in values]
    files.write_json(OUT["report"], {"layers": rows, "order": []})
    inputs = {name: OUT[name] for name in ("report", "coordinates", "proposals")}
    inputs["layers"] = "ingest/layers.tsv"
    out = {"gate": "zcorr/gate.json", "coordinates": "zcorr/Zcoords.txt"}
    check_thickness.main(
        inputs=inputs, out=out, **gate_of(), keep_thickness=keep, made_with=settings
    )
    lines = (workdir / out["coordinates"]).read_text().splitlines()
    return dict(line.split() for line in lines)


def test_while_a_volume_grows_layers_keep_the_z_they_were_exported_at(workdir):
    files.write_table("ingest/layers.tsv", ("z", "layer_id"), [])
    files.write_text(OUT["proposals"], "")
    first = released(workdir, {z: 1.1 * z for z in range(100)}, 0.08)
    # the scale of the whole has changed, and layer 50 was measured anew, which is taken back
    once = {z: 1.098 * z - 0.3 * (z > 50) for z in range(110)}
    held = released(workdir, once, 0.08)
    assert [z for z in range(100) if held[str(z)] != first[str(z)]] == [51, 52, 53, 54]
    steps = np.diff([float(held[str(z)]) for z in range(110)]) - np.diff(list(once.values()))
    assert np.abs(steps).max() < 0.08
    # too much for the ten new layers, not for them and the ten before
    long = {z: 1.109 * z for z in range(110)}
    released(workdir, {z: 1.1 * z for z in range(100)}, 0.08, regularization="NONE")
    first = released(workdir, {z: 1.1 * z for z in range(100)}, 0.08)
    held = released(workdir, long, 0.08)
    kept = [z for z in range(110) if held[str(z)] == first.get(str(z))]
    assert kept[-1] in range(95, 100)
    assert kept == list(range(kept[-1] + 1))
    assert float(held["109"]) == pytest.approx(long[109])
    steps = np.diff([float(held[str(z)]) for z in range(110)]) - np.diff(list(long.values()))
    assert np.abs(steps).max() < 0.09  # of layers of 1.1
    # too much to be taken back
    released(workdir, {z: 1.1 * z for z in range(100)}, 0.08, regularization="NONE")
    first = released(workdir, {z: 1.1 * z for z in range(100)}, 0.08)
    thin = {z: 1.098 * z - 0.5 * (z > 90) for z in range(110)}
    grown = released(workdir, thin, 0.08)
    assert {z: grown[str(z)] for z in range(91)} == {z: first[str(z)] for z in range(91)}
    assert float(grown["109"]) == pytest.approx(thin[109])  # where the volume ends
    for a, b in ((90, 91), (91, 92), (99, 100), (108, 109)):
        step = float(grown[str(b)]) - float(grown[str(a)])
        assert step == pytest.approx(thin[b] - thin[a], rel=0.01)
    # too much to spread over the new layers: all move
    short = {z: 1.05 * z for z in range(110)}
    assert float(released(workdir, short, 0.08)["50"]) == pytest.approx(52.5)
    other = released(workdir, {z: 1.05 * z for z in range(110)}, 0.08, inference="reference")
    assert float(other["50"]) == pytest.approx(52.5)  # other settings: nothing is kept
    assert released(workdir, {z: 1.049 * z for z in range(110)}, 0)["50"] == "52.450000"


def test_layers_in_the_wrong_order_stop_the_run_with_their_names(workdir):
    rows = [{"z": z, "cc_next": 0.9, "problem": None} for z in range(1, 7)]
    moved = [{"z": 2, "after": 5, "gain": 0.3}]
    files.write_json(OUT["report"], {"layers": rows, "order": moved})
    files.write_text(OUT["coordinates"], "1 1.0\n")
    files.write_text(OUT["proposals"], "exclude: []\n")
    names = [{"z": z, "layer_id": f"M-1_24-03-07_1000{z:02d}"} for z in range(1, 7)]
    files.write_table("ingest/layers.tsv", ("z", "layer_id"), names)
    with pytest.raises(UserError, match="move: M-1_24-03-07_100002, after: M-1_24-03-07_100005"):
        check()
    assert not (workdir / "zcorr/Zcoords.txt").exists()
    check(accept_layers=[2])
    assert (workdir / "zcorr/Zcoords.txt").exists()


def test_kept_layers_are_pictures_with_their_z_and_place(workdir):
    publish(workdir, LAYERS, moving, chunk=5)
    correlate("0000")
    kept = arrays("zcorr/layers/0000.npz")
    assert kept["z"].tolist() == [3, 4, 5, 6, 7]
    assert kept["pixels"].dtype == np.uint8
    assert max(kept["pixels"].shape[1:]) == 60
    assert (kept["pixels"][4] == 0).all()
    assert kept["pixels"][0].mean() > 60
    assert 0.3 < kept["scale"] < 0.5


def republish(folder, replaced):
    """Publish the stack of `publish` anew, tiles by id replaced; None takes one out."""
    client = RenderClient(**RENDER)
    tiles = client.tiles("s")
    kept = [replaced.get(one.tile_id, one) for one in tiles.tiles]
    new = TileSet(tuple(one for one in kept if one is not None))
    client.publish_stack("s", new, resolution_nm=(5, 5, 8)).write(folder / "stacks/s.json")


def test_a_patch_says_nothing_about_distance_and_is_seen_all_the_same(workdir):
    """z 6 has a copy of one tile of z 5, z 9 copies of both of z 8: as if these were not there."""
    publish(workdir, range(3, 15), moving)
    tiles = {one.tile_id: one for one in RenderClient(**RENDER).tiles("s").tiles}
    copies = {
        f"t{z:03d}-{column}": tiles[f"t{z - 1:03d}-{column}"].changed(
            tile_id=f"t{z:03d}-{column}", z=float(z), labels=("patch",)
        )
        for z, column in ((6, 0), (9, 0), (9, 1))
    }
    republish(workdir, copies)
    found = {}
    for name in ("patched", "taken out"):
        correlate("0000")
        found[name] = arrays("zcorr/correlations/0000.npz")
        if name == "patched":
            shown = arrays("zcorr/layers/0000.npz")["pixels"]
            infer(["0000"])
        republish(workdir, dict.fromkeys(copies))
    assert (shown[3] > 0).mean() == pytest.approx((shown[2] > 0).mean(), abs=0.05)
    for field in ("corr", "share", "band", "inplane", "regional"):
        assert np.array_equal(found["patched"][field], found["taken out"][field], equal_nan=True)
    assert found["patched"]["share"][3, 0] < 0.6
    assert found["patched"]["present"].all()
    assert found["patched"]["own"].tolist() == [True] * 6 + [False] + [True]
    report = files.read_json("zcorr/qc.json")
    assert report["figures"]["copied_layers"] == [9]
    assert report["layers"][6]["problem"] is None
    assert len((workdir / "zcorr/Zcoords.txt").read_text().splitlines()) == 8


def test_the_volume_of_regions_opens_and_shows_a_fault_where_it_is(workdir):
    """A square of another picture in z 8 only: the regions there are the worst."""
    x0, y0, side = 70, 20, 25  # world px

    def content(x, y, z):
        damaged = (z == 8) & (np.abs(x - x0 - side / 2) < side / 2)
        damaged &= np.abs(y - y0 - side / 2) < side / 2
        return np.where(damaged, 120 + 100 * np.sin(1.7 * x) * np.cos(2.3 * y), moving(x, y, z))

    publish(workdir, range(3, 15), content)
    for chunk in ("0000", "0001"):
        correlate(chunk)
    infer(["0000", "0001"], gate_problem_pct=50)
    group = zarr.open_group("zcorr/regions.zarr/correlation", mode="r")
    open_ome_zarr(group)  # a valid OME-Zarr
    values = group["s0"][:]
    assert values.dtype == np.float32
    stored = arrays("zcorr/regions.npz")
    assert np.array_equal(values, stored["correlation"], equal_nan=True)
    (about,) = group.attrs["multiscales"]
    scale, shift = (
        np.array(one[one["type"]]) for one in about["datasets"][0]["coordinateTransformations"]
    )
    assert scale[0] == 8.0
    for z in (7.5, 8.5):  # between the layers that are compared
        layer = values[round(z - shift[0] / scale[0])]
        row, column = np.unravel_index(np.nanargmin(layer), layer.shape)
        y, x = (shift[1:] + scale[1:] * (row, column)) / 5.0  # nm to world px
        assert abs(x - (x0 + side / 2)) < scale[2] / 5.0
        assert abs(y - (y0 + side / 2)) < scale[1] / 5.0
    page = (workdir / OUT["page"]).read_text()
    lines = textwrap.indent((workdir / OUT["proposals"]).read_text(), "  ")
    assert f"review:\n{lines}" in html.unescape(page)
    width = RenderClient(**RENDER).stack_metadata("s")["stats"]["stackBounds"]
    assert scale[2] / 5.0 * values.shape[2] == pytest.approx(width["maxX"] - width["minX"], abs=1.5)


def test_a_repeat_gives_the_same_bytes(workdir):
    publish(workdir, LAYERS[:6], moving)
    stored = []
    for _ in range(2):
        correlate("0000")
        infer(["0000"])
        found = (p for p in sorted(workdir.rglob("zcorr/**/*")) if p.is_file())
        stored.append({p: p.read_bytes() for p in found})
    assert stored[0] == stored[1]


def test_schema_defaults_hold_every_option(workdir):
    from pathlib import Path

    schema = yaml.safe_load((Path(__file__).parents[2] / "config/schema.yaml").read_text())
    section = schema["properties"].get("zcorr")
    if section is None:
        pytest.skip("no zcorr section in the schema yet")
    assert set(section["properties"]) - {"scale_z"} == set(ZCORR)
