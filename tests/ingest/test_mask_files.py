"""Masks that are pictures, from the config to tile specs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.ingest import copy_masks, mask_files, specs
from scripts.ingest.settings import Picture, Settings
from scripts.lib import flow
from scripts.lib.drawing import masks
from scripts.lib.files import read_table
from scripts.lib.job import UserError
from tests.ingest.synthetic_layers import Volume, make_tile

CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))
W, H = 100, 80  # of the synthetic tiles


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paint(name, hidden_rows, shape=(H, W)):
    values = np.full(shape, 255, np.uint8)
    values[:hidden_rows] = 0
    Image.fromarray(values).save(name)
    return name


def settings(mask, pictures=None):
    return Settings.of(None, mask, 2.0, None, pictures)


def test_a_copy_is_named_by_what_it_shows(folder):
    tif = folder / "m.tif"
    images = [paint("m.png", 8), str(tif), paint("n.png", 9)]
    Image.open("m.png").convert("1").save(tif)
    copy_masks.main(images=dict.fromkeys(images, "digest"), table="ingest/masks.tsv")
    rows = read_table("ingest/masks.tsv")
    assert [row["image"] for row in rows] == images
    assert [(row["width"], row["height"], row["hidden_pct"]) for row in rows][:1] == [
        ("100", "80", "10.0")
    ]
    assert rows[0]["file"] == rows[1]["file"] != rows[2]["file"]
    assert np.array_equal(masks.picture(rows[0]["file"]), masks.picture("m.png"))
    assert mask_files.read("ingest/masks.tsv")["m.png"] == Picture(rows[0]["file"], W, H)
    assert mask_files.read(None) == {}
    # a copy that was spoilt is made whole
    Path(rows[0]["file"]).write_bytes(b"")
    copy_masks.main(images={"m.png": ""}, table="ingest/masks.tsv")
    assert masks.picture(rows[0]["file"]).any()


def test_a_picture_without_white_is_refused(folder):
    with pytest.raises(UserError, match=r"ingest.mask: black.png has no white pixel"):
        mask_files.copied(paint("black.png", H))
    with pytest.raises(UserError, match=r"ingest.mask: mask gone.png: .* no such file"):
        mask_files.copied("gone.png")


def test_specs_name_the_mask_of_their_cell_and_range(folder):
    picture = Picture("ingest/masks/a.png", W, H)
    entries = [
        {"left_px": 5},
        {"row": 1, "image": "a.png", "z_last": 1},
        {"row": 1, "column": 1, "top_px": 7},
    ]
    source = Volume([0, 40], cells=CELLS)
    how = settings(entries, {"a.png": picture})
    acquired = specs.Acquired(source.parts, source.rows, {}, how, 8.0)
    tiles = [tile for batch in acquired.batches(3) for tile in batch.tiles]
    found = {(tile.z, *tile.cell): tile for tile in tiles}
    image = found[1, 1, 0].to_json()["mipmapLevels"]["0"]
    assert image["maskUrl"] == f"file://{folder}/ingest/masks/a.png"
    assert image["maskLoaderType"] == "IMAGEJ_DEFAULT"
    assert "minX=5&minY=0" in found[2, 1, 0].mask_url
    for z in (1, 2):
        assert "minX=5&minY=0" in found[z, 0, 1].mask_url
        assert "minX=0&minY=7" in found[z, 1, 1].mask_url
        assert found[z, 1, 1].mask_loader == "DYNAMIC_MASK"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"image": "a.png", "left_px": 3}], "either image or strips in an entry, found a.png"),
        ([{"row": 1, "left_px": 3}, {"column": 0, "top_px": 3}], "(row 1, left 3 px) of z -inf"),
        ([{"row": 1, "image": "a"}, {"row": 1, "image": "b", "z_first": 7}], "overlap"),
        ([{"left_px": 1, "z_first": 4, "z_last": 3}], "z_first 4 is above z_last 3"),
    ],
)
def test_entries_that_contradict_are_named(entries, said):
    (problem,) = settings(entries).problems()
    assert said in problem


def test_entries_of_other_cells_ranges_or_narrowness_go_together():
    entries = [
        *({"row": row, "column": column, "image": f"{row}{column}"} for row, column in CELLS),
        {"left_px": 4, "z_last": 3},
        {"left_px": 5, "z_first": 4},
        {"row": 0, "top_px": 4},
        {"row": 1, "top_px": 4},
    ]
    assert not list(settings(entries).problems())


def test_sizes_are_compared_with_the_tiles_that_the_mask_is_of():
    volume = Volume([0, 40], cells=CELLS)
    volume.tiles[1][3] = make_tile(1, 1, shape=(1, 50, 60), width=60, height=50)
    pictures = {"{a}.png": Picture("a", W, H), "b": Picture("b", 60, 50)}
    (part,) = volume.parts()
    for entries, expected in (
        ([{"image": "{a}.png"}], [1]),
        ([{"image": "{a}.png"}, {"row": 1, "column": 1, "image": "b"}], [2]),
        ([{"image": "{a}.png"}, {"row": 1, "column": 1, "image": "b", "z_last": 1}], []),
    ):
        found = list(mask_files.misfits(part, settings(entries, pictures).masks))
        wrong = np.any([each for each, _ in found], axis=0)
        assert (part.z[wrong]).tolist() == expected
        assert all("60 x 50 px, the tile of 60 x 50 px" not in text for _, text in found)
        named = [text.format(width=60, height=50) for each, text in found if each.any()]
        assert all(".png is of 100 x 80 px" in text or "b is of 60" in text for text in named)


def test_paths_start_at_the_root_and_are_listed_once(tmp_path):
    entries = [{"image": "m.png"}, {"image": "/a/m.png", "row": 1}, {"left_px": 3}]
    found = flow.resolved_masks(tmp_path, entries)
    assert found == [{"image": f"{tmp_path}/m.png"}, {"image": "/a/m.png", "row": 1}, entries[2]]
    assert flow.mask_images(found) == sorted([f"{tmp_path}/m.png", "/a/m.png"])
    assert flow.resolved_masks(tmp_path, None) is None
    assert flow.resolved_masks(tmp_path, {}) == {}
    assert flow.mask_images({}) == flow.mask_images(None) == []
    assert flow.mask_images({"image": "x"}) == ["x"]
