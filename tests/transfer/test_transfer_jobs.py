"""The three job scripts on a small acquisition, called as Snakemake calls them."""

import pytest
import yaml

from scripts.lib.files import read_json, read_table
from scripts.lib.job import UserError
from scripts.transfer import (
    check_transfer,
    close_transfer,
    convert_layers,
    gate,
    headers,
    plan_transfer,
    quarantine,
)
from scripts.transfer.gate import Allowed
from tests.transfer.synthetic_dat import make_dat, noise

ACQUISITION = {"rows": 1, "columns": 2}
TRANSFER = {
    "channel": 0, "mipmap_levels": 7, "chunk_px": 512, "gzip_level": 4, "fill": [],
    "bad_tiles": "skip", "free_space_gb": 0,
}  # fmt: skip
STAMPS = ("24-03-07_095959", "24-03-07_100029", "24-03-07_100059")


@pytest.fixture
def acquisition(tmp_path, monkeypatch):
    """Three layers of 1 x 2 tiles: whole, with a cut tile, with two cut tiles."""
    root = tmp_path / "dat"
    root.mkdir()
    for i, stamp in enumerate(STAMPS):
        for column in range(2):
            data = make_dat(noise(i, (20, 30, 1)))
            cut = i + column >= 2
            (root / f"M-1_{stamp}_0-0-{column}.dat").write_bytes(data[:1500] if cut else data)
    monkeypatch.chdir(tmp_path)
    return root


def run(root, bad_tiles="skip"):
    plan = "transfer/plan.tsv"
    plan_transfer.main(dat_root=str(root), **ACQUISITION, layers_per_job=2, plan=plan)
    chunks = sorted({row["chunk"] for row in read_table(plan)})
    tables = [f"transfer/converted/{chunk}.tsv" for chunk in chunks]
    for chunk, table in zip(chunks, tables, strict=True):
        convert_layers.main(
            chunk=chunk,
            plan=plan,
            dat_root=str(root),
            **TRANSFER | {"bad_tiles": bad_tiles},
            converted=table,
        )
    close_transfer.main(
        converted=tables,
        dat_root=str(root),
        rows=1,
        columns=2,
        layers="transfer/layers.tsv",
        bad_tiles="transfer/quarantine.tsv",
    )
    return read_table("transfer/layers.tsv"), read_table("transfer/quarantine.tsv")


def test_every_layer_has_a_row_with_its_state_and_every_bad_tile_is_named(acquisition):
    layers, bad = run(acquisition)
    assert [(r["status"], r["tiles"], r["bad"], r["expected"]) for r in layers] == [
        ("ok", "2", "0", "2"),
        ("partial", "1", "1", "2"),
        ("empty", "0", "2", "2"),
    ]
    assert layers[1]["raw_h5"] == "h5/raw/M-1/2024/03/07/10/M-1_24-03-07_100029.raw.h5"
    assert layers[2]["align_h5"] == ""
    assert "truncated: expected at least" in layers[1]["message"]
    assert [(r["layer_id"], r["tile_key"]) for r in bad] == [
        ("M-1_24-03-07_100029", "0-0-1"),
        ("M-1_24-03-07_100059", "0-0-0"),
        ("M-1_24-03-07_100059", "0-0-1"),
    ]


def test_bad_tiles_are_linked_in_the_quarantine_and_stay_where_they_are(acquisition, tmp_path):
    _, bad = run(acquisition)
    links = sorted((tmp_path / "transfer/quarantine").iterdir())
    assert [link.name for link in links] == sorted(row["dat"] for row in bad)
    assert all(link.resolve() == acquisition / link.name for link in links)


def test_a_link_of_the_quarantine_follows_its_file_to_another_folder(tmp_path):
    for folder in ("a", "b"):
        quarantine.link(tmp_path / "links", [tmp_path / folder / "x.dat"])
    assert (tmp_path / "links/x.dat").readlink() == tmp_path / "b/x.dat"


def test_a_mended_tile_leaves_the_quarantine(acquisition, tmp_path):
    run(acquisition)
    name = f"M-1_{STAMPS[1]}_0-0-1.dat"
    (acquisition / name).write_bytes(make_dat(noise(1, (20, 30, 1))))
    layers, bad = run(acquisition)
    assert layers[1]["status"] == "ok"
    assert name not in {link.name for link in (tmp_path / "transfer/quarantine").iterdir()}
    assert len(bad) == 2


def test_a_tile_that_was_never_acquired_is_told_from_a_bad_one(acquisition):
    (acquisition / f"M-1_{STAMPS[0]}_0-0-0.dat").unlink()
    layers, bad = run(acquisition)
    assert (layers[0]["status"], layers[0]["bad"]) == ("partial", "0")
    assert layers[0]["message"] == "0-0-0: no .dat file"
    assert len(bad) == 3


def test_a_second_run_writes_the_same_tables(acquisition, tmp_path):
    run(acquisition)
    first = {p: p.read_bytes() for p in tmp_path.glob("transfer/**/*.tsv")}
    run(acquisition)
    assert {p: p.read_bytes() for p in tmp_path.glob("transfer/**/*.tsv")} == first


def check(share=1.0, count=None):
    check_transfer.main(
        layers="transfer/layers.tsv",
        quarantine="transfer/quarantine.tsv",
        misfits="transfer/misfits.tsv",
        copy_state=None,
        max_bad_share=share,
        max_bad_tiles=count,
        passed="transfer/gate.json",
    )
    return read_json("transfer/gate.json")


def test_stop_fails_the_layer_and_the_gate_names_the_tile_after_the_others(acquisition):
    layers, _ = run(acquisition, bad_tiles="stop")
    assert [(r["status"], r["converted"]) for r in layers] == [
        ("ok", "1"), ("failed", "0"), ("failed", "0"),
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"2 layer\(s\) failed(.|\n)*_100029_0-0-1.dat: truncated"):
        check()


def test_the_gate_passes_as_many_bad_tiles_as_the_config_allows(acquisition):
    run(acquisition)
    status = {"ok": 1, "partial": 1, "empty": 1}
    assert check(share=0.5) == {"layers": 3, "tiles": 3, "bad": 3, "status": status}
    for share, count in ((0.49, None), (1.0, 2)):
        with pytest.raises(UserError, match="^3 of 6 tiles cannot be read; transfer.max_bad_share"):
            check(share, count)


@pytest.mark.parametrize(
    ("bad", "tiles", "allowed", "words"),
    [
        (1, 14, Allowed(0.05, None), "(transfer: {max_bad_share: 0.072})"),
        (3, 6, Allowed(0.9, 2), "(transfer: {max_bad_tiles: 3})"),
        (3, 6, Allowed(0.1, 2), "(transfer: {max_bad_share: 0.5, max_bad_tiles: 3})"),
    ],
)
def test_the_lines_that_a_gate_names_for_bad_tiles_open_it(bad, tiles, allowed, words):
    assert gate.too_many(bad, tiles, allowed).endswith(words)
    said = yaml.safe_load(words[1:-1])["transfer"]
    opened = Allowed(
        said.get("max_bad_share", allowed.share), said.get("max_bad_tiles", allowed.count)
    )
    assert gate.too_many(bad, tiles, opened) == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("readme.dat", "'readme.dat' is no tile name"),
        (f"M-1_{STAMPS[0]}_0-7-0.dat", "row 7, column 0 lies outside of the grid of 1 x 2"),
        (f"b/M-1_{STAMPS[0]}_0-0-0.dat", "other bytes"),
    ],
)
def test_a_file_that_does_not_fit_is_named_by_the_gate_after_all_layers_are_done(
    acquisition, name, words
):
    (acquisition / name).parent.mkdir(exist_ok=True)
    (acquisition / name).write_bytes(make_dat(noise(99, (20, 30, 1))))
    layers, _ = run(acquisition)
    assert [row["tiles"] for row in layers] == ["2", "1", "0"]
    with pytest.raises(UserError, match=rf"1 \.dat file\(s\) do not fit:\n.*{words}"):
        check()


def test_a_copy_of_a_dat_in_another_folder_does_no_harm(acquisition):
    (acquisition / "z").mkdir()
    name = f"M-1_{STAMPS[0]}_0-0-0.dat"
    (acquisition / "z" / name).write_bytes((acquisition / name).read_bytes())
    run(acquisition)
    assert check()["layers"] == 3
    assert [row["reason"] for row in read_table("transfer/misfits.tsv")] == [""]


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_a_folder_without_dats_names_the_key(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"transfer\.dat_root: expected .*found none"):
        plan_transfer.main(
            dat_root=str(tmp_path / folder),
            **ACQUISITION,
            layers_per_job=1,
            plan=str(tmp_path / "plan.tsv"),
        )


def test_headers_are_printed_as_a_table_of_dats_and_hdf5(acquisition, capsys):
    layers, _ = run(acquisition)
    dat = acquisition / f"M-1_{STAMPS[0]}_0-0-0.dat"
    assert headers.main([str(dat), layers[0]["align_h5"], "--field", "XResolution"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "tile\tXResolution",
        *[f"M-1_{STAMPS[0]}_0-0-{c}.dat\t30" for c in (0, 0, 1)],
    ]


def test_headers_of_a_file_that_is_no_dat_end_with_an_error_that_names_it(acquisition, capsys):
    assert headers.main(["transfer/none.dat"]) == 1
    assert "transfer/none.dat" in capsys.readouterr().err
