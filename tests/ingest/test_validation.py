from pathlib import Path

import pytest

from scripts.ingest import page, validation
from scripts.ingest.headers import with_prior
from scripts.ingest.settings import Settings
from scripts.lib.job import UserError
from tests.ingest.synthetic_layers import Volume, make_tile

CELLS = ((0, 0), (0, 1))
CONFIG = {"scan_correction": None, "mask": None, "tile_overlap_um": 2}


def headers(volume):
    return [
        {"layer_id": row["layer_id"], "tiles": ",".join("k" * int(row["tiles"])), "problem": ""}
        for row in volume.rows
        if row["align_h5"]
    ]


def find(volume, *, config=None, rows=None, cached=None, **expected):
    wanted = {"rows": 1, "columns": 2, "pixel_nm": 8.0} | expected
    expected = validation.Expected(settings=Settings.of(**CONFIG | (config or {})), **wanted)
    rows, cached = rows or volume.rows, cached or headers(volume)
    return validation.find(rows, cached, with_prior(volume.parts()), expected)


@pytest.fixture(autouse=True)
def files_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("h5").mkdir()
    for z in range(1, 301):
        Path(f"h5/{z}.h5").touch()


def test_a_whole_volume_and_one_with_declared_holes_and_gaps_have_no_error():
    volume = Volume([0, 40, 40, 40], cells=CELLS)
    assert find(volume) == []
    volume.tiles[2].pop()
    volume.tiles[3] = []
    rows = volume.rows
    rows[1] |= {"missing": "0-0-1", "status": "partial"}
    (note,) = find(volume, rows=rows)
    assert (note.severity, note.check, note.z) == ("note", "cells", 2)
    assert "0-0-1" in note.problem


def test_all_problems_are_listed_at_once_tile_by_tile():
    volume = Volume([0] + [40] * 8, cells=CELLS)
    volume.tiles[2][0] = make_tile(0, 0, shape=(1, 7, 9))
    volume.tiles[3][1] = make_tile(0, 1, stored=4, levels=2)
    volume.tiles[4][0] = make_tile(0, 0, pixel_nm=0.0)
    volume.tiles[5][1] = make_tile(0, 1, sample=b"mouse")
    volume.tiles[6][0] = make_tile(0, 0, first_x=2e6)
    volume.tiles[7].append(make_tile(1, 0))
    volume.tiles[8][0] = make_tile(0, 0, low=float("nan"))
    rows, cached = volume.rows, headers(volume)
    rows[8] |= {"align_h5": "h5/gone.h5", "gap_before_s": "0"}
    cached[0] |= {"tiles": "0-0-0"}
    config = {
        "scan_correction": {"class_name": "no.such.Transform", "data": "1 2"},
        "mask": [{"z_first": 1, "z_last": 1, "left_px": 100, "top_px": None}],
    }
    found = find(volume, config=config, rows=rows, cached=cached)
    errors = [(p.check, p.z, p.tile, p.problem) for p in found if p.severity == "error"]
    expected = [
        ("settings", None, "", "transform class 'no.such.Transform' is not known"),
        ("file", 9, "", "h5/gone.h5: there is no such file"),
        ("cells", 1, "", "transfer/layers.tsv says 2 tile(s), the file holds 1"),
        ("cells", 7, "0-1-0", "row 1, column 0 lies outside of the grid of 1 x 2 tiles"),
        ("shape", 2, "0-0-0", "expects mipmap.0 of shape (1, 80, 100), found (1, 7, 9)"),
        ("shape", 3, "0-0-1", "of 4 mipmap levels only 2 are"),
        ("shape", 8, "0-0-0", "expected 8-bit pixels"),
        ("pixel", 4, "0-0-0", "PixelSize of the header is 0 nm, acquisition.pixel_nm is 8 nm"),
        ("bounds", 6, "0-0-0", "stage position x = 2000000 px: expected at most 999999 from 0"),
        ("mask", 1, "0-0-0", "(left 100 px) hides all of an image of 100 x 80 px"),
        ("mask", 1, "0-0-1", "hides all of an image"),
        ("sample", 5, "0-0-1", "SampleID is 'mouse', expected 'fly'"),
        ("time", 9, "", "expected a time after that of M-1_21-05-20_120440, found 0 s"),
    ]
    assert [each[:3] for each in errors] == [each[:3] for each in expected]
    for (*_, text), (*_, words) in zip(errors, expected, strict=True):
        assert words in text
    with pytest.raises(UserError) as caught:
        validation.require([p.row({}) for p in found], "ingest/validation.html")
    assert "13 problem(s), all of them in ingest/validation.html" in str(caught.value)
    assert "no.such.Transform" in str(caught.value)


@pytest.mark.parametrize(
    ("pixel_nm", "words"),
    [(0.008, "looks like µm"), (80, "looks like Å"), (8000, "the header looks like µm"), (4, "")],
)
def test_a_pixel_size_in_another_unit_is_guessed(pixel_nm, words):
    problem, *_ = find(Volume([0], cells=CELLS), pixel_nm=pixel_nm)
    assert problem.check == "pixel"
    assert words in problem.problem


def test_a_pixel_size_may_differ_as_much_as_is_allowed():
    volume = Volume([0], cells=CELLS, change={1: {"pixel_nm": 7.3}})
    assert find(volume) == []
    assert {p.check for p in find(volume, pixel_deviation_pct=5.0)} == {"pixel"}


def test_sample_names_that_are_listed_belong_to_the_volume():
    volume = Volume([0, 40], cells=CELLS, change={2: {"sample": b"fly 2"}})
    assert len(find(volume)) == 2
    assert find(volume, sample_ids=["fly", "fly 2"]) == []


def test_blank_images_and_tiles_apart_are_notes():
    volume = Volume([0], cells=CELLS)
    volume.tiles[1] = [make_tile(0, 0, low=7, high=7), make_tile(0, 1, first_x=95)]
    found = find(volume)
    assert [(p.severity, p.check, p.tile) for p in found] == [
        ("note", "constant", "0-0-0"), ("note", "apart", "0-0-1"),
    ]  # fmt: skip
    assert "0 px away from its left neighbour" in found[1].problem
    validation.require([p.row({}) for p in found], "page")


def test_layers_outside_of_all_corrections_are_noted():
    ranges = [{"z_first": 2, "z_last": 2, "data": "3 12 2 60 0"}]
    ranges[0]["class_name"] = "org.janelia.alignment.transform.SEMDistortionTransformA"
    found = find(Volume([0, 40, 40], cells=CELLS), config={"scan_correction": ranges})
    assert [(p.severity, p.check, p.z) for p in found] == [
        ("note", "uncorrected", 1), ("note", "uncorrected", 3),
    ]  # fmt: skip


def test_a_volume_without_any_tile_is_refused():
    volume = Volume([0, 40])
    volume.tiles = {1: [], 2: []}
    (problem,) = find(volume)
    assert problem.problem == "no layer has a readable tile"


def test_a_repeated_tile_or_layer_is_named():
    volume = Volume([0], cells=CELLS)
    volume.tiles[1].append(volume.tiles[1][0])
    assert "tile 0-0-0 occurs more than once" in find(volume)[0].problem
    rows = Volume([0], cells=CELLS).rows * 2
    found = [p.problem for p in find(Volume([0], cells=CELLS), rows=rows)]
    assert "z 1 occurs 2 times in the layer table" in found


def test_the_page_shows_problems_with_their_remedy_and_escapes_names():
    volume = Volume([0] + [40] * 299, cells=CELLS)
    for tiles in volume.tiles.values():
        tiles[0]["sample"] = b"<fly>"
    table = [p.row({1: "M-1_x"}) for p in find(volume)]
    html = page.render(
        table,
        volume.rows,
        {3: "acquisition_delay"},
        "ingest/problems.tsv",
        "ingest/validation.html",
    )
    assert "300 problem(s)" in html
    assert "At z 1 to 300." in html
    assert "list both in ingest.sample_ids" in html
    assert "&lt;fly&gt;" in html
    assert "<fly>" not in html
    assert "the first 200 of 300; all are in ingest/problems.tsv" in html
    assert "acquisition_delay" in html
    assert "No problem" in page.render([], volume.rows, {}, "t", "v.html")
