"""From a real acquisition's `.dat` files to stack v1_acquire in the embedded service."""

import json
import runpy
from pathlib import Path

import pytest

from scripts.ingest import number_layers, plan_chunks, publish_acquire
from scripts.lib.files import read_table
from scripts.lib.job import UserError
from scripts.lib.receipts import StackReceipt
from scripts.lib.render import RenderClient
from scripts.transfer import close_transfer, convert_layers, plan_transfer
from scripts.transfer.layers import Grid
from tests.transfer.synthetic_dat import SHARED, make_dat, noise

ACQUISITION = {"rows": 1, "columns": 2, "pixel_nm": 8, "z_nm": 10}
INGEST = {
    "scan_correction": {
        "class_name": "org.janelia.alignment.transform.SEMDistortionTransformA",
        "data": "3 12 2 60 0",
    },
    "mask": {"left_px": 2, "top_px": None},
    "tile_overlap_um": 2,
    "restart": {"max_gap_s": 900, "pixel_tolerance_nm": 0.5},
}
TRANSFER = {
    "channel": 0, "mipmap_levels": 7, "chunk_px": 512, "gzip_level": 4, "fill": [],
    "bad_tiles": "skip",
}  # fmt: skip
RENDER = {"owner": "o", "project": "p"}


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A working directory of its own with the embedded service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RENDER_WS_URL", f"sqlite:///{tmp_path / 'r.db'}")
    return RenderClient(**RENDER)


@pytest.fixture
def dats(tmp_path):
    """Four layers of 1 x 2 tiles, 30 s apart; tile 0-0-1 of the third is cut."""
    root = tmp_path / "dat"
    root.mkdir()
    for i in range(4):
        for column in range(2):
            data = make_dat(noise(i, (40, 50, 1)), first_xy=(45 * column, 0), wd_mm=3 + i * 1e-5)
            path = root / f"M-1_24-03-07_1000{10 * i:02d}_0-0-{column}.dat"
            path.write_bytes(data[:1300] if (i, column) == (2, 1) else data)
    return root


def transfer(root, acquisition=ACQUISITION):
    plan, table = "transfer/plan.tsv", "transfer/converted/0000.tsv"
    plan_transfer.main(dat_root=str(root), acquisition=acquisition, layers_per_job=999, plan=plan)
    convert_layers.main(
        chunk="0000", plan=plan, dat_root=str(root), transfer=TRANSFER, converted=table
    )
    close_transfer.main(
        converted=[table],
        dat_root=str(root),
        grid=Grid(acquisition["rows"], acquisition["columns"]),
        layers="transfer/layers.tsv",
        bad_tiles="transfer/quarantine.tsv",
    )


def ingest(acquisition=ACQUISITION, settings=INGEST, drop=()):
    number_layers.main(
        transfer="transfer/layers.tsv",
        grid=(acquisition["rows"], acquisition["columns"]),
        drop=drop,
        layers="ingest/layers.tsv",
    )
    publish_acquire.main(
        render=RENDER,
        layers="ingest/layers.tsv",
        transfer="transfer/layers.tsv",
        ingest=settings,
        acquisition=acquisition,
        restart_table="ingest/restarts.tsv",
        receipt="stacks/v1_acquire.json",
    )
    return Path("stacks/v1_acquire.json").read_bytes()


def test_the_stack_is_complete_with_a_declared_hole_and_a_true_receipt(service, dats):
    transfer(dats)
    ingest()
    tiles = service.tiles("v1_acquire")
    assert len(tiles.tiles) == 7
    rows = read_table("ingest/layers.tsv")
    assert [(r["z"], r["status"], r["missing"]) for r in rows][2] == ("3", "partial", "0-0-1")
    assert read_table("ingest/restarts.tsv") == []
    metadata = service.stack_metadata("v1_acquire")
    assert metadata["state"] == "COMPLETE"
    version = metadata["currentVersion"]
    assert [version[f"stackResolution{axis}"] for axis in "XYZ"] == [8, 8, 10]
    assert version["mipmapPathBuilder"]["numberOfLevels"] == 4
    service.require(StackReceipt.read("stacks/v1_acquire.json"))
    assert tiles.tiles[0].bounds == (5, 0, 51, 40)
    assert tiles.tiles[2].distance_z_nm == pytest.approx(10, abs=0.3)


def test_the_same_work_again_gives_the_same_bytes(service, dats):
    transfer(dats)
    first = ingest()
    transfer(dats)
    assert ingest() == first


def test_a_changed_volume_leaves_no_stale_tile(service, dats):
    transfer(dats)
    ingest()
    Path("ingest/layers.tsv").unlink()
    ingest(drop=["M-1_24-03-07_100010"])
    ids = service.tile_ids("v1_acquire")
    assert len(ids) == 5
    assert not [i for i in ids if i.startswith("24-03-07_100010") or i.endswith(".4.0")]


def test_last_dat_is_respected(service, dats):
    last = "M-1_24-03-07_100010_0-0-1.dat"
    acquisition = ACQUISITION | {"last_dat": last}
    transfer(dats, acquisition)
    ingest(acquisition)
    assert service.z_values("v1_acquire") == [1, 2]


def test_a_late_tile_is_published_under_its_old_z(service, dats):
    transfer(dats)
    ingest()
    late = make_dat(noise(2, (40, 50, 1)), first_xy=(45, 0))
    (dats / "M-1_24-03-07_100020_0-0-1.dat").write_bytes(late)
    transfer(dats)
    ingest()
    assert "24-03-07_100020_0-0-1.3.0" in service.tile_ids("v1_acquire")


def test_nothing_is_published_while_files_are_missing(service, dats):
    transfer(dats)
    number_layers.main(
        transfer="transfer/layers.tsv", grid=(1, 2), drop=(), layers="ingest/layers.tsv"
    )
    rows = read_table("ingest/layers.tsv")
    Path(rows[0]["align_h5"]).unlink()
    Path(rows[3]["align_h5"]).write_bytes(b"no HDF5")
    with pytest.raises(UserError, match=r"(?s)2 problem.*z 1: h5/.*z 4: h5/"):
        publish_acquire.main(
            render=RENDER,
            layers="ingest/layers.tsv",
            transfer="transfer/layers.tsv",
            ingest=INGEST,
            acquisition=ACQUISITION,
            restart_table="r.tsv",
            receipt="stacks/v1_acquire.json",
        )
    assert service.stacks() == []


def test_a_lost_align_file_is_named_with_the_command_that_makes_it_anew(service, dats):
    transfer(dats)
    Path(read_table("transfer/layers.tsv")[1]["align_h5"]).unlink()
    with pytest.raises(UserError, match=r"_100010\.uint8\.h5: .*--forcerun convert_layers"):
        ingest()
    transfer(dats)
    ingest()


def test_chunks_cover_gaps_and_all_layers(service, dats):
    transfer(dats)
    ingest()
    plan_chunks.main(layers="ingest/layers.tsv", size=3, chunks="ingest/chunks.tsv")
    assert [tuple(r.values()) for r in read_table("ingest/chunks.tsv")] == [
        ("0000", "1", "3"),
        ("0001", "4", "4"),
    ]


@pytest.mark.real
def test_a_real_acquisition_is_placed_at_its_stage_positions(service, tmp_path):
    generator = SHARED / "make_misaligned.py"
    if not generator.exists():
        pytest.skip("needs ../shared/data beside the project")
    main = runpy.run_path(str(generator))["main"]
    volume = SHARED / "fib25" / "fib25_128.h5"
    grid = ["--grid", "2", "2", "--tile", "48", "48", "--layers", "4", "--corrupt", "1"]
    assert main([str(volume), str(tmp_path / "acq"), *grid, "--workers", "1"]) == 0
    acquisition = ACQUISITION | {"rows": 2}
    transfer(tmp_path / "acq" / "dat", acquisition)
    ingest(acquisition, INGEST | {"mask": {"left_px": None, "top_px": None}})
    truth = json.loads((tmp_path / "acq" / "truth.json").read_text())
    tiles = {t.tile_id.split(".")[0]: t for t in service.tiles("v1_acquire").tiles}
    assert len(tiles) == 15
    for tile in truth["tiles"]:
        if tile["corrupt"] is None:
            found = tiles[tile["tile_id"]]
            assert (found.stage_x, found.stage_y) == tuple(int(v) for v in tile["stage_xy"])
            assert found.z == tile["layer"] + 1
