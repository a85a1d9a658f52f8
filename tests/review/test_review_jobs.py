"""The jobs of review, one after another, on the embedded service and real HDF5 pictures."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import yaml
from scipy import ndimage

from scripts.lib import geometry, transforms
from scripts.lib.files import read_json, read_table, write_table
from scripts.lib.job import UserError
from scripts.lib.receipts import CollectionReceipt, StackReceipt
from scripts.lib.records import Leaf, TileSet, TileSpec
from scripts.lib.render import RenderClient
from scripts.review import check_gate, publish_trimmed, review_connectivity

RESULTS = (
    "p_group", "q_group", "p_id", "q_id", "run", "dz", "p_cell", "q_cell", "stage", "saved",
    "count", "rms_px", "coverage_pct", "reason",
)  # fmt: skip
RENDER = {"owner": "o", "project": "p"}
PARAMS = {
    "auto": True,
    "max_auto_share": 0.2,
    "exclude": [],
    "max_edge_gap_layers": 50,
    "min_saved_share_dz1": 0.9,
    "min_saved_share_montage": 0.5,
    "low_share": "warn",
    "resin_texture": 0.35,
    "texture_samples": 60,
}
RESIN = {(1, 0), (2, 0)}  # z, column


def picture(path, z, column):
    rng = np.random.default_rng([z, column])
    noise = 3 * rng.standard_normal((128, 128))
    tissue = ndimage.gaussian_filter(rng.standard_normal((128, 128)), 3)
    clean = 170 + 0 * tissue if (z, column) in RESIN else 128 + 30 * tissue / tissue.std()
    with h5py.File(path, "a") as file:
        pixels = np.clip(clean + noise, 0, 255).astype(np.uint8)
        file[f"0-0-{column}/mipmap.0"] = pixels[None]


def tile(z, column):
    stage = Leaf(transforms.AFFINE, transforms.affine_data(geometry.translation(100 * column, 0)))
    url = f"file://{z}.h5?dataSet=/0-0-{column}/mipmap.0&z=0"
    mask = "mask://outside-box?minX=10&minY=0&maxX=128&maxY=128&width=128&height=128"
    return TileSpec(
        f"t_0-0-{column}.{z}.0", z, 128, 128, url, (stage,), column=column, mask_url=mask
    )


def result(a, b):
    bad = (a.z, a.column) in RESIN or (b.z, b.column) in RESIN
    row = dict.fromkeys(RESULTS, "")
    row |= {"p_id": a.tile_id, "q_id": b.tile_id, "dz": f"{abs(a.z - b.z):g}"}
    return row | {"saved": str(int(not bad))}


@pytest.fixture
def volume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    tiles = {(z, c): tile(z, c) for z in range(1, 13) for c in (0, 1)}
    for z, c in tiles:
        picture(f"{z}.h5", z, c)
    acquired = TileSet(tuple(tiles.values()))
    builder = {"rootPath": "not_applicable", "numberOfLevels": 7, "extension": "tif"}
    RenderClient(**RENDER).publish_stack(
        "v1_acquire", acquired, resolution_nm=(8.0, 8.0, 10.0), mipmaps=builder
    ).write("acquire.json")
    rows = [result(tiles[z, 0], tiles[z, 1]) for z in range(1, 13)]
    rows += [result(tiles[z, c], tiles[z + 1, c]) for z in range(1, 12) for c in (0, 1)]
    saved = sum(row["saved"] == "1" for row in rows)
    write_table("results.tsv.gz", RESULTS, rows)
    receipt = CollectionReceipt("o", "p_v1", len(rows), saved, len(rows) - saved, "d", {}, {})
    receipt.write("matches.json")
    return tiles


def review(**params):
    params = PARAMS | params
    out = {name: f"{name}.tsv" for name in ("tiles", "edges")}
    out |= {"clusters": "clusters.json", "proposals": "proposals.yaml"}
    review_connectivity.main(
        acquire="acquire.json", results=["results.tsv.gz"], out=out, render=RENDER, params=params
    )
    check_gate.main(inputs=out | {"matches": "matches.json"}, out="gate.json", params=params)


def test_resin_is_excluded_called_resin_and_absent_from_the_trimmed_stack(volume):
    review()
    states = {row["tile_id"]: row["state"] for row in read_table("tiles.tsv")}
    assert {k for k, v in states.items() if v == "excluded"} == {"t_0-0-0.1.0", "t_0-0-0.2.0"}
    with open("proposals.yaml") as stream:  # noqa: PTH123 - relative to the test's folder
        (entry,) = yaml.safe_load(stream)["exclude"]
    assert entry == {
        "cells": ["0,0"],
        "z_first": 1,
        "z_last": 2,
        "reason": "resin: 2 tiles outside the largest cluster",
    }
    assert read_json("gate.json")["status"] == "passed"

    publish_trimmed.main(
        acquire="acquire.json",
        tiles="tiles.tsv",
        gate="gate.json",
        out="trimmed.json",
        render=RENDER,
        stack="trimmed",
    )
    client = RenderClient(**RENDER)
    receipt = StackReceipt.read("trimmed.json")
    client.require(receipt)
    assert receipt.tile_count == 22
    version = client.stack_metadata("trimmed")["currentVersion"]
    assert version["mipmapPathBuilder"]["numberOfLevels"] == 7
    assert version["stackResolutionZ"] == 10.0


def test_without_auto_the_gate_stops_and_its_lines_open_it(volume):
    with pytest.raises(UserError, match="2 tiles have no match") as caught:
        review(auto=False)
    message = str(caught.value)
    lines = message[message.index("review:\n") :].rstrip().splitlines()
    pasted = yaml.safe_load("\n".join(line for line in lines if line))["review"]
    review(auto=False, **pasted)
    assert read_json("clusters.json")["excluded"] == 2


def test_an_absent_picture_is_an_error_that_names_the_file(volume, tmp_path):
    (tmp_path / "1.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.h5"):
        review()


def test_trimming_keeps_everything_else(volume):
    tiles = TileSet(tuple(volume.values()))
    left = publish_trimmed.trimmed(tiles, {"t_0-0-0.1.0"})
    assert left == replace(tiles, tiles=tiles.tiles[1:])
