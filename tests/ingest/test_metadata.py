"""Header fields over z: read once, constants that changed named with z, one page."""

import csv
import io
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.ingest import header_fields, header_table, metadata, metadata_page, plot_metadata
from scripts.lib.files import read_json, read_table, write_table
from scripts.transfer import dat  # the published list of fields
from tests.transfer.synthetic_dat import make_dat

CELLS = ("0-0", "0-1")


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def volume(layers, change=None, *, version=9, cells=CELLS):
    """Write align files of `layers` layers; change(z, cell) gives fields that differ."""
    rows = []
    for z in range(1, layers + 1):
        path = f"h5/{z:03d}.uint8.h5"
        write_layer(path, {c: (change or (lambda *_: {}))(z, c) for c in cells}, version)
        rows.append({"z": z, "layer_id": f"M_24-01-01_0000{z:02d}", "align_h5": path})
    write_table("layers.tsv", ("z", "layer_id", "align_h5"), rows)
    return rows


def write_layer(path, tiles, version=9):
    header = dat.parse_header(make_dat(np.zeros((3, 4, 1), np.int16), version=version), "x")
    Path(path).parent.mkdir(exist_ok=True)
    with h5py.File(path, "w") as file:
        for cell, fields in tiles.items():
            group = file.create_group(f"0-{cell}")
            for name, value in {**header, "dat_file_name": "x.dat", **fields}.items():
                group.attrs[name] = value


def run():
    """Read and summarise as the job does, without drawing: Bokeh takes seconds."""
    return metadata.summarise(header_table.read(read_table("layers.tsv"), Path("m.npz")))


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The page of a volume with a changed setting, a damaged file and a hostile note."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        changed = {True: {"DetA": "ESB"}, False: {"DetA": "InLens"}}
        volume(5, lambda z, c: {"Notes": "<script>x</script>", **changed[z > 3]})
        Path("h5/002.uint8.h5").write_bytes(b"no hdf5")
        plot_metadata.main(
            layers="layers.tsv",
            volume="v<1>",
            page="m.html",
            summary="m.json",
            rows="m.csv",
            cache="m.npz",
        )
        assert read_json("m.json")["layers"] == 4
        return Path("m.html").read_text()


def test_fields_that_vary_are_a_csv_with_a_line_for_each_tile(workdir):
    volume(3, lambda z, c: {"WD": 3.0 + z / 8, "DetA": "E,S" if z > 2 else "In"})
    table = header_table.read(read_table("layers.tsv"), Path("m.npz"))
    lines = list(csv.reader(io.StringIO(metadata_page.rows(table, metadata.summarise(table)))))
    assert lines[0][:2] == ["z", "tile"]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    assert [(row["z"], row["tile"]) for row in rows[:3]] == [
        ("1", "0-0"),
        ("1", "0-1"),
        ("2", "0-0"),
    ]
    assert (rows[0]["WD"], rows[-1]["WD"], rows[-1]["DetA"]) == ("3.125", "3.375", "E,S")
    assert "EHT" not in rows[0]


def test_a_click_on_a_point_opens_its_layer_in_the_report(workdir):
    volume(3, lambda z, c: {"WD": 3.0 + z / 8})
    table = header_table.read(read_table("layers.tsv"), Path("m.npz"))
    found = metadata.summarise(table)
    shown = metadata_page.page(table, found, volume="v", here="ingest/metadata.html")
    assert "../report/index.html#find=z @x" in shown
    assert "#find=z @x" not in metadata_page.page(
        table, found, volume="v", here="preview/metadata.html"
    )


def test_every_field_of_every_header_version_has_its_place():
    names = {p.name for version in range(1, 11) for p in dat.placements(version)}
    assert names - header_fields.LISTED == set()
    listed = header_fields.CONSTANTS + tuple(f for p in header_fields.PLOTS for f in p.fields)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("version", [1, 3, 9])
def test_values_are_those_of_the_files(workdir, version):
    volume(3, lambda z, c: {"WD": 3.0 + z / 8, "Notes": f"tile {c}"}, version=version)
    found = run()
    (wd,) = [one for one in found["varying"] if one["field"] == "WD"]
    assert (wd["min"], wd["median"], wd["max"]) == (3.125, 3.25, 3.375)
    assert (wd["z_min"], wd["z_max"], wd["unit"], wd["by_tile"]) == (1, 3, "mm", False)
    (notes,) = [one for one in found["constants"] if one["field"] == "Notes"]
    assert notes["values"] == ["tile 0-0", "tile 0-1"]
    assert found["layers"] == 3
    assert found["tiles"] == 6
    assert found["changed"] == []  # tiles that always differ did not change


def test_a_setting_that_changed_is_named_with_z_and_tiles(workdir):
    volume(
        6,
        lambda z, c: {
            "DetA": "ESB" if z > 3 else "InLens",
            "EHT": 1.5 if (z, c) == (5, "0-1") else 1.0,
        },
    )
    found = {one["field"]: one for one in run()["changed"]}
    assert found["DetA"]["changes"] == [
        {"z": 4, "from": "InLens", "to": "ESB", "tiles": ["0-0", "0-1"]}
    ]
    assert [(c["z"], c["from"], c["to"], c["tiles"]) for c in found["EHT"]["changes"]] == [
        (5, "1", "1.5", ["0-1"]),
        (6, "1.5", "1", ["0-1"]),
    ]
    assert metadata.warnings(run()) == [
        "DetA changed at z 4 (InLens → ESB)",
        "EHT changed at z 5 (1 → 1.5), z 6 (1.5 → 1)",
    ]


def test_a_tile_is_compared_with_the_last_layer_that_has_it(workdir):
    volume(4, lambda z, c: {"SWdate": "a" if z < 3 else "b"})
    write_layer("h5/003.uint8.h5", {"0-0": {"SWdate": "b"}})  # 0-1 is missing there
    (change,) = (one for one in run()["changed"] if one["field"] == "SWdate")
    assert [(c["z"], c["tiles"]) for c in change["changes"]] == [(3, ["0-0"]), (4, ["0-1"])]


def test_only_new_files_are_opened_again(workdir, monkeypatch):
    volume(3)
    run()
    before = Path("m.npz").read_bytes()
    opened = []
    read = header_table._read
    monkeypatch.setattr(header_table, "_read", lambda path, r: opened.append(path) or read(path, r))
    run()
    assert opened == []
    assert Path("m.npz").read_bytes() == before
    write_layer("h5/003.uint8.h5", {c: {"WD": 9.0} for c in CELLS})
    assert max(one["max"] for one in run()["varying"] if one["field"] == "WD") == 9.0
    assert opened == [Path("h5/003.uint8.h5")]


def test_a_file_that_cannot_be_read_is_listed_and_left_out(workdir):
    volume(3)
    (workdir / "h5/002.uint8.h5").write_bytes(b"no hdf5")
    found = run()
    assert found["layers"] == 2
    assert len(found["unreadable"]) == 1
    assert found["unreadable"][0].startswith("z 2: h5/002.uint8.h5: ")


def test_a_damaged_cache_is_made_anew(workdir):
    volume(2)
    first = run()
    (workdir / "m.npz").write_bytes(b"damaged")
    assert run() == first


def test_the_page_names_changes_and_damaged_files(html):
    assert "DetA changed at z 4 (InLens → ESB)" in html
    assert "not readable: z 2" in html


def test_the_page_loads_nothing_and_escapes_names(html):
    assert "v&lt;1&gt;" in html
    assert "<script>x" not in html
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', html)


def test_a_volume_without_layers_gives_a_page(workdir):
    write_table("layers.tsv", ("z", "layer_id", "align_h5"), [])
    assert run()["tiles"] == 0
