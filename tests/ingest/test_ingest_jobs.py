"""From align HDF5 files to stack v1_acquire in the embedded service."""

import itertools
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.ingest import (
    cache_headers,
    check_layers,
    copy_masks,
    number_layers,
    plan_chunks,
    publish_acquire,
    publish_restart,
)
from scripts.lib import made_by
from scripts.lib.drawing import compose, pixels
from scripts.lib.files import read_table, write_table
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt
from scripts.transfer import conversion
from tests.ingest.synthetic_layers import write_layer
from tests.lib.other_code import other_code
from tests.transfer.synthetic_dat import SHARED

ROOT = Path(__file__).resolve().parents[2]
ACQUISITION = {"rows": 1, "columns": 2, "pixel_nm": 8, "z_nm": 10}
SPECS = {
    "scan_correction": {
        "class_name": "org.janelia.alignment.transform.SEMDistortionTransformA",
        "data": "3 12 2 60 0",
    },
    "mask": {"left_px": 2, "top_px": None},
    "tile_overlap_um": 2,
}
LIMITS = ("rows", "columns", "first_dat", "last_dat")
RESTART = {"max_gap_s": 900, "pixel_tolerance_nm": 0.5, "context_layers": 1}
RENDER = {"owner": "o", "project": "p"}
RECEIPT = Path("stacks/v1_acquire.json")


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A working directory of its own with the embedded service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path / 'r.db'}")
    return RenderClient(**RENDER)


@pytest.fixture
def volume():
    """Rows of the transfer table: four layers of 1 x 2 tiles, 40 s apart, a tile absent in one."""
    rows = [write_layer(".", 40 * i, WD=3 + i * 1e-5) for i in range(4)]
    rows[2] = write_layer(".", 80, cells=((0, 0),), WD=3 + 2e-5) | {"bad": 1}
    return rows


def transfer(rows):
    columns = ("layer_id", "tiles", "bad", "align_h5")
    rows = sorted(rows, key=lambda row: row["layer_id"][-15:])
    write_table("transfer/layers.tsv", columns, rows)


def number(acquisition, declared):
    number_layers.main(
        transfer="transfer/layers.tsv",
        headers="ingest/headers.tsv",
        **{name: acquisition.get(name) for name in LIMITS},
        declared=declared,
        layers="ingest/layers.tsv",
        summary="ingest/numbering.json",
    )


TABLES = {"layers": "ingest/layers.tsv", "headers": "ingest/headers.tsv"}
PAGES = {"problems": "ingest/problems.tsv", "page": "ingest/validation.html"}


def publish(specs, acquisition):
    publish_acquire.main(
        render=RENDER,
        **TABLES,
        **PAGES,
        restart_table="ingest/restarts.tsv",
        **specs,
        **{name: acquisition[name] for name in ("pixel_nm", "z_nm")},
        receipt=str(RECEIPT),
    )


def ingest(rows, *, acquisition=ACQUISITION, specs=SPECS, declared=()):
    """All jobs up to the restart stack, as the rules run them; give the bytes of the receipt."""
    transfer(rows)
    return run(acquisition=acquisition, specs=specs, declared=declared)


def run(*, acquisition=ACQUISITION, specs=SPECS, declared=()):
    """The jobs of `ingest` with the table of the transfer that is there."""
    cache_headers.main(transfer="transfer/layers.tsv", table="ingest/headers.tsv")
    number(acquisition, [{"reason": "r"} | entry for entry in declared])
    check_layers.main(
        **TABLES,
        **PAGES,
        **specs,
        restart=RESTART,
        **{name: acquisition[name] for name in ("rows", "columns", "pixel_nm")},
        restart_table="ingest/restarts.tsv",
        missing_table="ingest/missing_layers.tsv",
        declared=[{"reason": "r"} | entry for entry in declared],
    )
    publish(specs, acquisition)
    publish_restart.main(
        render=RENDER,
        acquire=str(RECEIPT),
        restart_table="ingest/restarts.tsv",
        context_layers=RESTART["context_layers"],
        **{name: acquisition[name] for name in ("pixel_nm", "z_nm")},
        receipt="stacks/v1_acquire_restart.json",
    )
    return RECEIPT.read_bytes()


def test_the_stack_is_complete_with_a_declared_hole_and_a_true_receipt(service, volume):
    ingest(volume)
    tiles = service.tiles("v1_acquire")
    assert len(tiles.tiles) == 7
    rows = read_table("ingest/layers.tsv")
    assert [(r["z"], r["status"], r["missing"]) for r in rows][2] == ("3", "partial", "0-0-1")
    assert read_table("ingest/restarts.tsv") == []
    metadata = service.stack_metadata("v1_acquire")
    assert metadata["state"] == "COMPLETE"
    version = metadata["currentVersion"]
    assert [version[f"stackResolution{axis}"] for axis in "XYZ"] == [8, 8, 10]
    assert version["mipmapPathBuilder"]["numberOfLevels"] == 3
    service.require(StackReceipt.read(RECEIPT))
    assert tiles.tiles[0].bounds == (5, 0, 51, 40)
    assert tiles.tiles[2].distance_z_nm == pytest.approx(10, abs=1e-6)


def test_the_same_work_again_gives_the_same_bytes_and_writes_nothing_to_the_service(
    service, volume, monkeypatch
):
    first = ingest(volume)
    before = service.stack_metadata("v1_acquire")
    monkeypatch.setattr(RenderClient, "put_tiles", None)
    assert ingest(volume) == first
    assert service.stack_metadata("v1_acquire") == before


OUTPUTS = ("headers.tsv", "numbering.json", "problems.tsv", "validation.html", "restarts.tsv")


def contents():
    return {name: Path("ingest", name).read_bytes() for name in (*OUTPUTS, "layers.tsv")}


def forced(**settings):
    """Run all jobs by force: Snakemake removes their outputs first, but for the layer table."""
    for name in OUTPUTS:
        Path("ingest", name).unlink(missing_ok=True)
    run(**settings)


def test_jobs_that_are_forced_put_back_what_they_made_of_the_same(service, volume, monkeypatch):
    volume[3] = write_layer(".", 4000)  # a restart, so that no table is empty
    ingest(volume, declared=[{"gap": 2, "after": volume[1]["layer_id"]}])
    made = contents()
    for module, name in (
        (cache_headers.headers, "refresh"),
        (number_layers.numbering, "number"),
        (check_layers.validation, "find"),
        (RenderClient, "publish_stack"),
    ):
        monkeypatch.setattr(module, name, None)
    forced(declared=[{"gap": 2, "after": volume[1]["layer_id"], "reason": "r"}])
    assert contents() == made


def test_exchanged_cells_show_each_others_image_in_their_own_place(service, volume):
    ingest(volume)
    before = {tile.tile_id: tile for tile in service.tiles("v1_acquire").tiles}
    entry = {"cells": ["0,0", "0,1"], "z_first": 2, "z_last": 2, "reason": "renamed"}
    ingest(volume, specs=SPECS | {"exchange": [entry]})
    for tile in service.tiles("v1_acquire").tiles:
        was = before[tile.tile_id]
        own, other = f"dataSet=/0-0-{tile.column}/", f"dataSet=/0-0-{1 - tile.column}/"
        wanted = was.image_url.replace(own, other) if tile.z == 2 else was.image_url
        assert tile.image_url == wanted
        assert (tile.stage_x, tile.transforms, tile.cell) == (was.stage_x, was.transforms, was.cell)
    ingest(volume)
    assert {tile.tile_id: tile for tile in service.tiles("v1_acquire").tiles} == before


@pytest.mark.parametrize("kept", ["headers", "layers", "problems"])
@pytest.mark.parametrize("harm", ["copy", "record", "gone"])
def test_what_was_kept_and_is_damaged_is_made_anew(service, volume, kept, harm):
    ingest(volume)
    made = contents()
    for path in Path("ingest/kept", kept).iterdir():
        if harm == "gone":
            path.unlink()
        elif (path.name == "made_of.json") == (harm == "record"):
            path.write_bytes(path.read_bytes()[:-3])
    forced()
    assert contents() == made


def test_nothing_is_put_back_when_what_it_was_made_of_is_another(service, volume, monkeypatch):
    ingest(volume)
    made = contents()
    # a file that changed: its headers and what follows from them
    write_layer(".", 40, SWdate="08/01/2021")
    forced()
    assert read_table("ingest/restarts.tsv")[0] == {"z": "2", "reason": "change_header_swdate"}
    write_layer(".", 40, WD=3 + 1e-5)
    # a file that is gone, found by the job that checks, though no table says so
    Path(volume[3]["align_h5"]).rename("away.h5")
    with pytest.raises(UserError, match="no such file"):
        forced()
    Path("away.h5").rename(volume[3]["align_h5"])
    # a layer table that somebody edited is not written over with the one that was kept
    table = Path("ingest/layers.tsv")
    table.write_text(table.read_text().replace("21-05-20_120120", "21-05-20_120119"))
    with pytest.raises(UserError, match="21-05-20_120119"):
        forced()
    table.write_bytes(made["layers.tsv"])
    # other settings
    with pytest.raises(UserError, match="hides all of an image"):
        forced(specs=SPECS | {"mask": {"left_px": 50, "top_px": None}})
    # other code
    monkeypatch.setattr(check_layers.validation, "find", lambda *_: [])
    Path("ingest/problems.tsv").write_text("")
    with other_code("scripts/ingest/validation.py"):
        forced()
    assert read_table("ingest/problems.tsv") == []


@pytest.mark.parametrize(
    "declared",
    [
        [],
        [{"gap": 2, "after": 0}],
        [{"drop": 1}],
        [{"drop": 1, "keep_z": False, "renumber": True}],
        [{"gap": 1, "after": 1}, {"insert": 2, "slot": 1}],
        [{"insert": 2, "renumber": True}],
    ],
)
def test_numbering_what_is_numbered_gives_the_same_table(service, volume, declared):
    named = {"drop", "after", "insert"}  # by position in the volume
    entries = [
        {key: volume[value]["layer_id"] if key in named else value for key, value in entry.items()}
        | {"reason": "r"}
        for entry in declared
    ]
    late = {entry["insert"] for entry in entries if "insert" in entry}
    transfer([row for row in volume if row["layer_id"] not in late])
    cache_headers.main(transfer="transfer/layers.tsv", table="ingest/headers.tsv")
    number(ACQUISITION, [entry for entry in entries if "insert" not in entry])
    transfer(volume)
    cache_headers.main(transfer="transfer/layers.tsv", table="ingest/headers.tsv")
    number(ACQUISITION, entries)
    table = Path("ingest/layers.tsv").read_bytes()
    shutil.rmtree("ingest/kept")
    number(ACQUISITION, entries)
    assert Path("ingest/layers.tsv").read_bytes() == table


@pytest.mark.parametrize("what", ["tile", "state", "correction", "folder"])
def test_a_stack_that_is_not_what_it_would_be_now_is_published_anew(
    service, volume, what, monkeypatch, tmp_path
):
    ingest(volume)
    specs = SPECS
    service.set_state("v1_acquire", "LOADING")
    if what == "tile":
        service._request(
            "DELETE", service._stack("v1_acquire", "tile", service.tile_ids("v1_acquire")[0])
        )
    if what != "state":
        service.set_state("v1_acquire", "COMPLETE")
    if what == "correction":
        specs = SPECS | {"scan_correction": None}
    if what == "folder":
        (tmp_path / "moved").symlink_to(tmp_path)
        monkeypatch.setattr(Path, "cwd", lambda: tmp_path / "moved")
    ingest(volume, specs=specs)
    tiles = service.tiles("v1_acquire").tiles
    assert len(tiles) == 7
    assert (tiles[0].bounds[0] == 0) == (what == "correction")
    assert ("/moved/" in tiles[0].image_url) == (what == "folder")
    service.require(StackReceipt.read(RECEIPT))


@pytest.fixture
def clone(tmp_path):
    """A copy of the project's code, to be changed, and what publishes with it."""
    code = tmp_path / "clone"
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scripts", code / "scripts", ignore=compiled)
    call = "import logging; logging.basicConfig(level=20)\n"
    call += "from tests.ingest.test_ingest_jobs import *; publish(SPECS, ACQUISITION)"

    def publish_again():
        RECEIPT.unlink()
        path = os.pathsep.join([str(code), str(ROOT)])
        run = [sys.executable, "-c", call]
        env = os.environ | {"PYTHONPATH": path}
        return subprocess.run(run, env=env, check=True, capture_output=True, text=True).stderr

    return code / "scripts/ingest/specs.py", publish_again


PLACED = "at = placed(part, layers.settings)"


def test_a_mended_job_replaces_the_stack_that_it_made_before(service, volume, clone):
    ingest(volume)
    module, publish_again = clone
    text, first = module.read_text(), RECEIPT.read_bytes()
    assert PLACED in text
    # a comment: nothing is written
    module.write_text(f"# {PLACED}\n{text}")
    assert "stack v1_acquire" not in publish_again()
    assert service.tiles("v1_acquire").tiles[0].bounds[0] == 5
    assert RECEIPT.read_bytes() == first
    # other positions: the stack is another, and the log says why
    module.write_text(text.replace(PLACED, f"{PLACED} + 100"))
    told = publish_again()
    assert "v1_acquire is made again: made by other code (scripts/ingest/specs.py changed)" in told
    assert service.tiles("v1_acquire").tiles[0].bounds[0] == 105
    service.require(StackReceipt.read(RECEIPT))


def test_other_code_that_makes_the_same_changes_no_receipt(service, volume, monkeypatch, caplog):
    first, other = ingest(volume), Path("stacks/v1_acquire_restart.json").read_bytes()
    caplog.set_level("INFO")
    with other_code("scripts/ingest/specs.py"):
        assert ingest(volume) == first
        assert "specs.py changed" in caplog.text
        assert Path("stacks/v1_acquire_restart.json").read_bytes() == other
        monkeypatch.setattr(RenderClient, "publish_stack", None)
        assert ingest(volume) == first


def test_results_of_other_code_are_kept_when_they_were_accepted(service, volume, monkeypatch):
    first = ingest(volume)
    monkeypatch.setattr(RenderClient, "publish_stack", None)
    with other_code("scripts/ingest/specs.py"):
        made_by.main(
            [".", "--accept", "acquire", Path("provenance/acquire").glob("*").__next__().stem]
        )
        publish(SPECS, ACQUISITION)
    assert RECEIPT.read_bytes() == first


def test_headers_that_other_code_read_are_read_again(service, volume, caplog):
    first = ingest(volume)
    caplog.set_level("INFO")
    with other_code("scripts/ingest/align.py"):
        publish(SPECS, ACQUISITION)  # as after an upgrade, at a gate: no job before it runs
        assert "layers, 4 of them read" in caplog.text
        assert RECEIPT.read_bytes() == first
        ingest(volume)
        shard = next(Path("ingest/headers").glob("*.npz"))
        with np.load(shard) as arrays:
            assert str(arrays["code"]) == made_by.HEADERS.digest()


def test_renumbering_after_a_late_layer_leaves_no_stale_tile(service, volume):
    ingest([volume[0], volume[2], volume[3]])
    with pytest.raises(UserError, match="arrived late"):
        ingest(volume)
    assert len(service.tile_ids("v1_acquire")) == 5
    ingest(volume, declared=[{"insert": volume[1]["layer_id"], "renumber": True}])
    ids = service.tile_ids("v1_acquire")
    assert len(ids) == 7
    assert [i for i in ids if i.endswith(".4.0")] == [
        "21-05-20_120200_0-0-0.4.0", "21-05-20_120200_0-0-1.4.0",
    ]  # fmt: skip
    assert sorted(t.tile_id for t in service.tiles("v1_acquire").tiles) == sorted(ids)


def test_a_shorter_volume_and_a_dropped_layer_leave_no_stale_tile(service, volume):
    ingest(volume)
    limits = ACQUISITION | {"last_dat": f"{volume[2]['layer_id']}_0-0-1.dat"}
    ingest(volume, acquisition=limits, declared=[{"drop": volume[1]["layer_id"]}])
    assert service.z_values("v1_acquire") == [1, 3]
    assert [r["status"] for r in read_table("ingest/layers.tsv")] == ["ok", "gap", "partial"]


def test_a_late_tile_is_published_under_its_old_z(service, volume):
    ingest(volume)
    volume[2] = write_layer(".", 80, WD=3 + 2e-5)
    ingest(volume)
    assert "21-05-20_120120_0-0-1.3.0" in service.tile_ids("v1_acquire")


def test_all_problems_are_on_the_page_and_nothing_is_published(service, volume):
    Path(volume[0]["align_h5"]).unlink()
    Path(volume[3]["align_h5"]).write_bytes(b"no HDF5")
    write_layer(".", 40, PixelSize=4.0)
    with pytest.raises(UserError, match=r"(?s)4 problem.*validation\.html.*z 1 .*--forcerun conv"):
        ingest(volume)
    assert service.stacks() == []
    assert not RECEIPT.exists()
    html = Path("ingest/validation.html").read_text()
    for words in ("no such file", "not a readable align HDF5", "PixelSize of the header is 4 nm"):
        assert words in html
    assert [r["check"] for r in read_table("ingest/problems.tsv")] == [
        "file", "file", "pixel", "pixel", "cells",
    ]  # fmt: skip
    for i in (0, 1, 3):
        write_layer(".", 40 * i)
    ingest(volume)
    assert service.stack_metadata("v1_acquire")["state"] == "COMPLETE"


# -- the restart stack ------------------------------------------------------------------------


def test_layers_around_a_restart_are_a_stack_of_their_own(service):
    rows = [write_layer(".", s) for s in (0, 40, 80, 1200, 1240, 1280, 1320)]
    ingest(rows)
    assert read_table("ingest/restarts.tsv") == [{"z": "4", "reason": "acquisition_delay"}]
    assert service.z_values("v1_acquire_restart") == [3, 4, 5]
    receipt = StackReceipt.read("stacks/v1_acquire_restart.json")
    service.require(receipt)
    assert receipt.tile_count == 6
    metadata = service.stack_metadata("v1_acquire_restart")
    assert metadata["state"] == "COMPLETE"
    assert metadata["currentVersion"]["mipmapPathBuilder"]["numberOfLevels"] == 3
    labels = {t.z: t.labels for t in service.tiles("v1_acquire_restart").tiles}
    assert labels == {3: (), 4: ("restart", "acquisition_delay"), 5: ()}


def test_without_a_restart_the_receipt_says_so_and_an_old_stack_goes(service):
    rows = [write_layer(".", s) for s in (0, 40, 1200)]
    ingest(rows)
    assert service.stacks() == ["v1_acquire", "v1_acquire_restart"]
    ingest(rows[:2], acquisition=ACQUISITION | {"last_dat": rows[1]["layer_id"]})
    assert service.stacks() == ["v1_acquire"]
    receipt = StackReceipt.read("stacks/v1_acquire_restart.json")
    assert (receipt.tile_count, receipt.params["restarts"]) == (0, 0)
    service.require(receipt)


def test_chunks_cover_gaps_and_all_layers(service, volume):
    ingest(volume, declared=[{"gap": 2, "after": volume[1]["layer_id"]}])
    assert service.z_values("v1_acquire") == [1, 2, 5, 6]
    plan_chunks.main(layers="ingest/layers.tsv", size=4, chunks="ingest/chunks.tsv")
    assert [tuple(r.values()) for r in read_table("ingest/chunks.tsv")] == [
        ("0000", "1", "4"),
        ("0001", "5", "6"),
    ]


def converted(root):
    """Rows of the transfer table for the .dat files of a folder, after conversion."""
    rows = []
    for layer, files in itertools.groupby(sorted(root.rglob("*.dat")), lambda p: p.name[:-10]):
        tiles = [
            {"layer_id": layer, "tile_key": path.stem[-5:], "dat": str(path.relative_to(root))}
            for path in files
        ]
        one = conversion.Layer.of(tiles, root, Path())
        good = [row["status"] for row in conversion.convert_layer(one, conversion.Settings())]
        count = good.count("ok")
        rows.append({"layer_id": layer, "tiles": count, "bad": len(good) - count})
        rows[-1]["align_h5"] = str(one.align) if count else ""
    return rows


@pytest.mark.real
def test_a_real_acquisition_is_placed_at_its_stage_positions(service, tmp_path):
    generator = SHARED / "make_misaligned.py"
    if not generator.exists():
        pytest.skip("needs ../shared/data beside the project")
    main = runpy.run_path(str(generator))["main"]
    volume = SHARED / "fib25" / "fib25_128.h5"
    grid = ["--grid", "2", "2", "--tile", "48", "48", "--layers", "4", "--corrupt", "1"]
    assert main([str(volume), str(tmp_path / "acq"), *grid, "--workers", "1"]) == 0
    rows = converted(tmp_path / "acq" / "dat")
    ingest(rows, acquisition=ACQUISITION | {"rows": 2}, specs=SPECS | {"mask": None})
    truth = json.loads((tmp_path / "acq" / "truth.json").read_text())
    tiles = {t.tile_id.split(".")[0]: t for t in service.tiles("v1_acquire").tiles}
    assert len(tiles) == 15
    for tile in truth["tiles"]:
        if tile["corrupt"] is None:
            found = tiles[tile["tile_id"]]
            assert (found.stage_x, found.stage_y) == tuple(int(v) for v in tile["stage_xy"])
            assert found.z == tile["layer"] + 1
    # the images behind the specs are those that were converted
    image = pixels.read_image(next(iter(tiles.values())).image_url)
    assert image.shape == (48, 48)


def test_a_mask_picture_is_served_and_a_repainted_one_changes_the_specs(service, volume, tmp_path):
    def masked(rows_hidden):
        values = np.full((40, 50), 255, np.uint8)
        values[:rows_hidden] = 0
        Image.fromarray(values).save("mask.png")
        copy_masks.main(images={"mask.png": ""}, table="ingest/masks.tsv")
        specs = SPECS | {"mask": {"image": "mask.png"}, "masks": "ingest/masks.tsv"}
        return ingest(volume, specs=specs), service.tiles("v1_acquire").tiles[0]

    first, tile = masked(3)
    again, _ = masked(3)
    assert again == first
    assert tile.mask_url.startswith(f"file://{tmp_path}/ingest/masks/")
    shown = compose.file_source(tile, 0)[1]
    assert (shown[:3] == 0).all()
    assert (shown[3:] == 255).all()
    other, changed = masked(4)
    assert other != first
    assert changed.mask_url != tile.mask_url
