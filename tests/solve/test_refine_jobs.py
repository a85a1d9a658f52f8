"""The jobs of `solve.refine: field`, one after another, on bent images in the embedded service."""

import h5py
import numpy as np
import pytest
from scipy import ndimage

from scripts.lib.array_files import write_columns
from scripts.lib.drawing import compose
from scripts.lib.drawing.windows import Settings
from scripts.lib.files import read_json, write_json, write_table
from scripts.lib.geometry import Box
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.solve import (
    choose_refinement,
    displacements,
    measure_displacements,
    publish_align,
    refine_tiles,
    spectra,
)
from scripts.solve.aligned import FIELD

SIDE = 150
LAYERS = 20
SECTION = {"window_px": 64, "reach_px": 8, "windows": 16, "order_windows": 6}
REFINE = {"cell_px": 128, "errors": 2.0, "montage_weight": 3.0, "window_px": 64}
CHUNKS = {"0000": (1, 12), "0001": (13, LAYERS)}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """One texture in all layers, and one that every layer bends by up to 3 px in its own way."""
    rng = np.random.default_rng(3)
    texture = ndimage.gaussian_filter(rng.normal(size=(SIDE + 40, SIDE + 40)), 2)
    texture = 128 + 40 * texture / texture.std()
    v, u = np.mgrid[:SIDE, :SIDE] + 20.0
    phase = np.pi * (np.arange(SIDE) + 0.5) / SIDE
    urls, folder = {}, tmp_path_factory.mktemp("images")
    for kind, size in (("flat", 0.0), ("bent", 1.5)):
        for z in range(1, LAYERS + 1):
            a, b = size * rng.choice([-1, 1], 2)
            moved = v + a * np.cos(phase)[None, :], u + b * np.cos(phase)[:, None]
            image = ndimage.map_coordinates(texture, moved, order=3) + rng.normal(
                0, 4, (SIDE, SIDE)
            )
            path = folder / f"{kind}-{z}.h5"
            with h5py.File(path, "w") as file:
                file["mipmap.0"] = np.clip(image, 1, 255).astype(np.uint8)[None]
            urls[kind, z] = f"file://{path}?dataSet=/mipmap.0&z=0"
    return urls


def run(images, kind, tmp_path, monkeypatch):
    """Run all jobs; give the align stack, its layers and the outputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path}/r.db")
    render = {"owner": "o", "project": "p"}
    client = RenderClient(**render)
    place = Leaf(AFFINE, "1 0 0 1 10 -5")
    tiles = TileSet(
        tuple(
            TileSpec(f"t.{z}.0", float(z), SIDE, SIDE, images[kind, z], (place,))
            for z in range(1, LAYERS + 1)
        )
    ).with_bounds()
    client.publish_stack("trimmed", tiles, resolution_nm=(8.0, 8.0, 8.0)).write("trimmed.json")
    write_json(
        "transforms.json.gz", {"tiles": {t.tile_id: [1, 0, 0, 1, 10, -5] for t in tiles.tiles}}
    )
    names = ("chunk", "z_first", "z_last")
    write_table(
        "chunks.tsv", names, [dict(zip(names, (k, *v), strict=True)) for k, v in CHUNKS.items()]
    )
    common = {"trimmed": "trimmed.json", "render": render}
    placed = {"transforms": "transforms.json.gz", "chunks": "chunks.tsv"}
    parts, fields = [f"{k}.npz" for k in CHUNKS], [f"{k}.json.gz" for k in CHUNKS]
    for chunk, out in zip(CHUNKS, parts, strict=True):
        measure_displacements.main(
            **common, **placed, chunk=chunk, out=out, cell_px=128, section=SECTION
        )
    choose_refinement.main(
        **common, parts=parts, out="refinement.json", page="refinement.html", refine=REFINE
    )
    for chunk, out in zip(CHUNKS, fields, strict=True):
        refine_tiles.main(
            **common, **placed, chunk=chunk, parts=parts, refinement="refinement.json", out=out,
            refine=REFINE,
        )  # fmt: skip
    publish_align.main(
        **common, transforms="transforms.json.gz", out="align.json", stack="align",
        fields=fields, params={"z_range": None},
    )  # fmt: skip
    client.require(StackReceipt.read("align.json"))
    return client.tiles("align"), fields


def roughness(tiles):
    """Mean square of the grey values' change from layer to layer, inside all tiles."""
    layers = compose.place_layers(tiles)
    drawn = [compose.render(layers[z], Box(20, 5, 150, 135)).pixels for z in sorted(layers)]
    return float((np.diff(drawn, axis=0) ** 2).mean())


def test_bent_tiles_get_a_field_before_their_affine_and_lie_on_each_other(
    images, tmp_path, monkeypatch
):
    tiles, fields = run(images, "bent", tmp_path, monkeypatch)
    kinds = {tuple(spec.class_name for spec in tile.transforms) for tile in tiles.tiles}
    assert kinds == {(FIELD, AFFINE)}
    assert {tile.transforms[-1].data.split()[4] for tile in tiles.tiles} == {"10.0"}
    straight = TileSet(
        tuple(t.changed(transforms=t.transforms[-1:]) for t in tiles.tiles)
    ).with_bounds()
    assert roughness(tiles) < 0.25 * roughness(straight)
    assert all(read_json(path)["tiles"] for path in fields)
    page = (tmp_path / "refinement.html").read_text()
    assert "Tiles bend by" in page
    assert "rms over all layers" in page
    # the export draws what all else sees
    placed = compose.place_layers(tiles)[5]
    layer = compose.prepare(placed, Box(0, -10, 170, 150), dtype="uint8").rows(slice(None))
    seen = compose.render(placed, Box(0, -10, 170, 150))
    assert np.array_equal(layer.mask, seen.mask)
    assert np.abs(layer.pixels - seen.pixels)[seen.mask].max() <= 0.5


def test_flat_tiles_keep_their_specs(images, tmp_path, monkeypatch):
    tiles, fields = run(images, "flat", tmp_path, monkeypatch)
    assert read_json("refinement.json")["prior"] is None
    assert "No tile gets a field" in (tmp_path / "refinement.html").read_text()
    assert {len(tile.transforms) for tile in tiles.tiles} == {1}
    assert not any(read_json(path)["tiles"] for path in fields)


def test_windows_at_the_border_tell_the_shift_of_all_others(images):
    """Half of them lies beyond what the two tiles share."""
    tiles = TileSet(
        tuple(
            TileSpec(f"t.{z}.0", float(z), SIDE, SIDE, images["flat", z], (Leaf(AFFINE, place),))
            for z, place in ((1, "1 0 0 1 10 -5"), (2, "1 0 0 1 15 -8"))
        )
    ).with_bounds()
    settings = Settings(window_px=64, reach_px=8)
    found = displacements.measured(compose.place_layers(tiles), 1, 1, settings, 128)
    assert len(found) == 9
    np.testing.assert_allclose(found.shift, np.tile([5.0, -3.0], (9, 1)), atol=0.2)


def test_a_stack_that_shows_nothing_gets_no_fields(images, tmp_path, monkeypatch):
    run(images, "flat", tmp_path, monkeypatch)
    nothing = displacements.measured({}, 1, 2, Settings(), 128)
    write_columns("none.npz", nothing)
    choose_refinement.main(
        trimmed="trimmed.json", parts=["none.npz"], out="none.json", page="none.html",
        render={"owner": "o", "project": "p"}, refine=REFINE,
    )  # fmt: skip
    assert read_json("none.json")["prior"] is None
    assert "No tile gets a field" in (tmp_path / "none.html").read_text()


def test_of_many_chunks_some_are_looked_at(images, tmp_path, monkeypatch):
    run(images, "flat", tmp_path, monkeypatch)
    paths = ["0000.npz", "0001.npz"] * 3
    one = sum(map(len, choose_refinement.sampled(paths[:1])))
    assert len(choose_refinement.sampled(paths)) == 1
    some = choose_refinement.sampled(paths, most=2 * one)
    assert 1 < len(some) < 6
    assert spectra.LEAST_LAYERS <= LAYERS
