"""The jobs of correct: parameters and stacks on disk, in any order that makes sense."""

import json

import h5py
import numpy as np
import orjson
import pytest

from scripts.correct import (
    balance_tiles,
    correct_step,
    level_layers,
    measure_overlaps,
    plan_sixteen_bit,
    publish_channel,
    publish_corrected,
    publishing,
    restore_raw,
)
from scripts.lib import files
from scripts.lib.drawing import compose, filters
from scripts.lib.geometry import Box
from scripts.lib.job import UserError
from scripts.lib.service import stack_client
from scripts.lib.service.client import RenderClient
from scripts.lib.service.errors import NotFound
from scripts.lib.service.receipts import StackReceipt
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from tests.export.synthetic import RENDER, publish
from tests.lib.drawing.test_filters import tissue

VOXEL_NM = {"pixel_nm": 5, "z_nm": 8}
SETTINGS = {
    "straighten": {"curve": "linear", "smooth_um": 10},
    "16bit": {"channels": [0, 1], "restore": False, "invert": False},
    "destreak": {
        "variant": "local",
        "angle_deg": 0,
        "cutoff_cycles_per_um": 2.0,
        "band_cycles_per_um": 1.0,
        "blur_nm": 20,
        "initial_threshold_grey": 5,
        "final_threshold_share": 0.05,
    },
    "shading": {
        "model": "quadratic",
        "given": [],
        "range_layers": 2000,
        "sample_layers": 4,
        "picture_px": 100,
        "smooth_share": 0.5,
    },
    "intensity": {
        "layers": "none",
        "hold_layers": 100,
        "cutoff_share": 0.03,
        "tiles": True,
        "regions": 4,
        "overlap_scale": 0.5,
        "window_layers": 1,
        "smoothness": 0.1,
        "identity": 0.005,
        "shared": 0.1,
    },
    "background": {"radius_nm": 400, "shrink": 0.2, "method": "gaussian"},
}


def run(step, before, after, evidence=()):
    """Measure, then publish; gives the summary."""
    correct_step.main(
        source=f"stacks/{before}.json",
        evidence=list(evidence),
        out=f"correct/{step}.json",
        arrays=f"correct/{step}.npz",
        name=step,
        render=RENDER,
        settings=SETTINGS[step],
        voxel_nm=VOXEL_NM,
    )
    publish_corrected.main(
        source=f"stacks/{before}.json",
        parameters=f"correct/{step}.json",
        arrays=f"correct/{step}.npz",
        receipt=f"stacks/{after}.json",
        stack=after,
        render=RENDER,
        voxel_nm=VOXEL_NM,
    )
    return files.read_json(f"correct/{step}.json")


def classes(stack, z=1):
    tiles = RenderClient(**RENDER).tiles(stack, z, z)
    return [[f.class_name.rpartition(".")[2] for f in filters.filters_of(t)] for t in tiles.tiles]


def test_a_stack_that_comes_in_parts_is_published_as_the_whole(workdir, monkeypatch):
    publish(workdir, range(1, 6), stack="a")
    run("straighten", "a", "b")
    run("destreak", "b", "c")
    receipts = [files.read_json(f"stacks/{name}.json") for name in "bc"]
    monkeypatch.setattr(stack_client, "_LAYERS_PER_GET", 2)
    run("straighten", "a", "b")
    run("destreak", "b", "c")
    assert [files.read_json(f"stacks/{name}.json") for name in "bc"] == receipts


def test_a_chain_of_all_eight_bit_steps_leaves_filters_in_its_order(workdir):
    publish(workdir, range(1, 4), stack="a")
    summary = run("straighten", "a", "a_straight")
    assert (summary["source"], summary["stack"]) == ("a", "a_straight")
    run("destreak", "a_straight", "a_d")
    run("shading", "a_d", "a_d_sc")
    measure_overlaps.main(
        source="stacks/a_d_sc.json",
        chunks="ingest/chunks.tsv",
        out="correct/overlaps/0000.npz",
        chunk="0000",
        render=RENDER,
        regions=SETTINGS["intensity"]["regions"],
        overlap_scale=SETTINGS["intensity"]["overlap_scale"],
    )
    measured, settings = ["correct/overlaps/0000.npz"], SETTINGS["intensity"]
    level_layers.main(
        compared=[],
        overlaps=measured,
        out="correct/levels.npz",
        method=settings["layers"],
        hold_layers=settings["hold_layers"],
    )
    balance_tiles.main(
        source="stacks/a_d_sc.json",
        chunks="ingest/chunks.tsv",
        measured=measured,
        levels="correct/levels.npz",
        out="correct/maps/0000.npz",
        chunk="0000",
        render=RENDER,
        settings=settings,
    )
    run("intensity", "a_d_sc", "a_d_sc_ic", ["correct/levels.npz", "correct/maps/0000.npz"])
    run("background", "a_d_sc_ic", "last")
    wanted = [
        "LocalSmoothMaskStreakCorrector",
        "ShadingCorrectionFilter",
        "LinearIntensityMap8BitFilter",
        "BackgroundCorrectionFilter",
    ]
    assert classes("last") == [wanted, wanted]
    receipt = StackReceipt.read("stacks/last.json")
    assert receipt.tile_count == 6
    RenderClient(**RENDER).require(receipt)
    # one drawing applies them all
    tiles = RenderClient(**RENDER).tiles("last", 2, 2)
    drawn = compose.render(compose.place(tiles), tiles.tiles[0].box)
    plain = compose.render(
        compose.place(RenderClient(**RENDER).tiles("a_straight", 2, 2)), tiles.tiles[0].box
    )
    change = (drawn.pixels - plain.pixels)[drawn.mask]
    assert change.std() > 1


def test_a_repeat_gives_the_same_bytes(workdir):
    publish(workdir, range(1, 4), stack="a")
    paths = ("correct/shading.json", "correct/shading.npz", "stacks/a_sc.json")
    found = []
    for _ in range(2):
        run("shading", "a", "a_sc")
        found.append([(workdir / path).read_bytes() for path in paths])
    assert found[0] == found[1]


@pytest.mark.parametrize("drops", [True, False])
@pytest.mark.parametrize("says", [None, {"webService": "settings of the known service"}])
def test_filters_come_back_from_a_service_that_drops_them(
    workdir, monkeypatch, caplog, says, drops
):
    publish(workdir, [1, 2], stack="a")
    client = RenderClient(**RENDER)
    found = filters.background(9, 0.5, "gaussian")
    tiles = TileSet(tuple(filters.appended(tile, found) for tile in client.tiles("a").tiles))
    get, put = client._get, client._put

    def asked(path, **more):
        if path != "serverProperties":
            return get(path, **more)
        if says is None:
            raise NotFound(path)
        return says

    def dropping(stack, collection):
        sent = json.loads(orjson.dumps(collection))
        for spec in sent["tileIdToSpecMap"].values():
            spec.pop("filterSpec", None)
        put(stack, sent)

    monkeypatch.setattr(client, "_get", asked)
    if drops:
        monkeypatch.setattr(client, "_put", dropping)
    receipt = publishing.publish(client, "b", tiles, VOXEL_NM, inputs=[], params={})
    assert client.stacks() == ["a", "b"]  # no trial is left
    client.require(receipt)
    back = RenderClient(**RENDER).tiles("b")
    assert [t.to_json() for t in back.tiles] == [t.to_json() for t in tiles.with_bounds().tiles]
    assert all(filters.filters_of(tile) for tile in back.tiles)
    said = client.stack_metadata("b")["currentVersion"]["versionNotes"]
    assert said.endswith("among their labels") == ("drops filterSpec" in caplog.text) == drops
    raw = client._get(client._stack("b", "resolvedTiles"))["tileIdToSpecMap"].values()
    assert all(("filterSpec" in spec) != drops for spec in raw)


def test_a_service_that_says_what_it_keeps_is_believed(workdir, monkeypatch):
    publish(workdir, [1], stack="a")
    client = RenderClient(**RENDER)
    tile = filters.appended(client.tiles("a").tiles[0], filters.background(9, 0.5, "gaussian"))
    monkeypatch.setattr(client, "create_stack", None)  # no trial
    assert client.keeps_filters(tile)


# ---------------------------------------------------------------------------------------------
# 16 bit
# ---------------------------------------------------------------------------------------------

LAYER = "Scope/2024/03/07/10/Scope_24-03-07_1011{:02d}"


def acquisition(folder, layers=(1, 2), archive=(), flipped=()):
    """Leave align and raw HDF5 of two channels as transfer does, and the stack ``v_align``."""
    tiles = []
    for z in layers:
        name = LAYER.format(z)
        counts = {c: np.rint(40 * tissue((40, 60), seed=z + 9 * c) - 5000) for c in (0, 1)}
        raw = f"h5/raw/{name}.raw.h5" if z not in archive else f"archive/{name}.raw-archive.h5"
        for path in (raw, f"h5/align/{name}.uint8.h5"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / raw, "w") as file:
            for channel, image in counts.items():
                file[f"0-0-0/c{channel}"] = image.astype(np.int16)
        black, white = 3000.0, -4000.0  # inverted, as transfer converts
        if z in flipped:  # transfer.keep_contrast
            black, white = white, black
        with h5py.File(folder / f"h5/align/{name}.uint8.h5", "w") as file:
            small = np.clip(255 * (counts[0] - black) / (white - black), 0, 255)
            file["0-0-0/mipmap.0"] = small.astype(np.uint8)[None]
            file.attrs["contrast_range"] = np.array([black, white])
        url = f"file://{folder}/h5/align/{name}.uint8.h5?dataSet=/0-0-0/mipmap.0&z=0"
        chain = (Leaf(AFFINE, f"1 0 0 1 {z} 0"),)
        tiles.append(TileSpec(f"t{z}", float(z), 60, 40, url, chain))
    client = RenderClient(**RENDER)
    stack = client.publish_stack("v_align", TileSet(tuple(tiles)), resolution_nm=(5, 5, 8))
    stack.write("stacks/v_align.json")
    rows = [{"chunk": "0000", "z_first": layers[0], "z_last": layers[-1]}]
    files.write_table("ingest/chunks.tsv", ["chunk", "z_first", "z_last"], rows)


def plan(folder, *, restore=False, archive_root=None):
    plan_sixteen_bit.main(
        source="stacks/v_align.json",
        plan="correct/16bit_plan.tsv",
        render=RENDER,
        restore=restore,
        archive_root=archive_root,
    )
    return files.read_table("correct/16bit_plan.tsv")


def drawn(stack, z):
    tiles = RenderClient(**RENDER).tiles(stack, z, z)
    return compose.render(compose.place(tiles), Box(z, 0, z + 60, 40), blend="last").pixels


def counts_of(path, channel=0):
    with h5py.File(path) as file:
        return file[f"0-0-0/c{channel}"][()].astype(float)


def test_sixteen_bit_shows_every_count_exactly_and_channel_1_reuses_the_transforms(workdir):
    acquisition(workdir)
    rows = plan(workdir)
    size = sum((workdir / f"h5/raw/{LAYER.format(z)}.raw.h5").stat().st_size for z in (1, 2))
    assert sum(int(row["bytes"]) for row in rows) == size
    summary = run("16bit", "v_align", "v_align_16bit", ["correct/16bit_plan.tsv"])
    assert summary["parameters"] | {"bytes": 0} == {
        "channels": [0, 1],
        "signed": True,
        "invert": False,
        "files": 2,
        "bytes": 0,
        "restored_bytes": 0,
        "turned_layers": 0,
    }
    publish_channel.main(
        source="stacks/v_align_16bit.json",
        parameters="correct/16bit.json",
        receipt="stacks/v_align_16bit_channel_1.json",
        channel=1,
        render=RENDER,
        voxel_nm=VOXEL_NM,
    )
    for channel, stack in enumerate(("v_align_16bit", "v_align_16bit_channel_1")):
        raw = counts_of(workdir / f"h5/raw/{LAYER.format(2)}.raw.h5", channel)
        assert np.array_equal(drawn(stack, 2), raw + 32768)
    one, two = (RenderClient(**RENDER).tiles(s).tiles[0] for s in ("v_align", "v_align_16bit"))
    assert (two.transforms, two.max_intensity) == (one.transforms, 65535)


def test_inverted_values_run_the_other_way(workdir):
    acquisition(workdir)
    plan(workdir)
    SETTINGS["16bit"]["invert"] = True
    try:
        run("16bit", "v_align", "v_align_16bit", ["correct/16bit_plan.tsv"])
    finally:
        SETTINGS["16bit"]["invert"] = False
    raw = counts_of(workdir / f"h5/raw/{LAYER.format(1)}.raw.h5")
    assert np.array_equal(drawn("v_align_16bit", 1), 65535 - (raw + 32768))


def test_layers_whose_contrast_is_kept_are_turned_over_against_the_others(workdir):
    acquisition(workdir, layers=(1, 2, 3, 4), flipped=(3, 4))
    plan(workdir)
    summary = run("16bit", "v_align", "v_align_16bit", ["correct/16bit_plan.tsv"])
    assert summary["parameters"]["turned_layers"] == 2
    publish_channel.main(
        source="stacks/v_align_16bit.json",
        parameters="correct/16bit.json",
        receipt="stacks/v_align_16bit_channel_1.json",
        channel=1,
        render=RENDER,
        voxel_nm=VOXEL_NM,
    )
    for channel, stack in enumerate(("v_align_16bit", "v_align_16bit_channel_1")):
        for z, turned in ((2, False), (3, True)):
            raw = counts_of(workdir / f"h5/raw/{LAYER.format(z)}.raw.h5", channel) + 32768
            assert np.array_equal(drawn(stack, z), 65535 - raw if turned else raw)


def test_archived_files_are_read_there_or_restored_byte_for_byte(workdir):
    acquisition(workdir, archive=(2,))
    archive = str(workdir / "archive")
    here, away = plan(workdir, archive_root=archive)
    assert (here["restore"], away["restore"], away["raw"]) == ("0", "0", away["found"])
    here, away = plan(workdir, restore=True, archive_root=archive)
    assert (here["restore"], away["restore"]) == ("0", "1")
    for _ in range(2):  # a second run finds it there
        restore_raw.main(
            plan="correct/16bit_plan.tsv",
            chunks="ingest/chunks.tsv",
            restored="correct/restored/0000.tsv",
            chunk="0000",
        )
    (row,) = files.read_table("correct/restored/0000.tsv")
    source = workdir / f"archive/{LAYER.format(2)}.raw-archive.h5"
    assert row["raw"] == str(workdir / f"h5/restored/{LAYER.format(2)}.raw.h5")
    assert (workdir / row["raw"]).read_bytes() == source.read_bytes()
    run("16bit", "v_align", "v_align_16bit", ["correct/16bit_plan.tsv"])
    assert np.array_equal(drawn("v_align_16bit", 2), counts_of(source) + 32768)


def test_missing_raw_files_are_all_named_before_anything_is_done(workdir):
    acquisition(workdir)
    for z in (1, 2):
        (workdir / f"h5/raw/{LAYER.format(z)}.raw.h5").unlink()
    with pytest.raises(UserError, match=r"2 raw files are missing: z 1: .*z 2: .*archive_root"):
        plan(workdir)


def test_a_channel_that_was_not_recorded_is_named(workdir):
    acquisition(workdir)
    plan(workdir)
    with h5py.File(workdir / f"h5/raw/{LAYER.format(2)}.raw.h5", "a") as file:
        del file["0-0-0/c1"]
    with pytest.raises(UserError, match=r"101102.raw.h5 has no data set 0-0-0/c1"):
        run("16bit", "v_align", "v_align_16bit", ["correct/16bit_plan.tsv"])


def test_channel_1_keeps_spectral_filters_and_drops_measured_ones(workdir):
    acquisition(workdir)
    plan(workdir)
    run("16bit", "v_align", "v1", ["correct/16bit_plan.tsv"])
    run("destreak", "v1", "v2")
    run("shading", "v2", "v3")
    assert classes("v3")[0][1:] == ["LocalSmoothMaskStreakCorrector", "ShadingCorrectionFilter"]
    threshold = json.loads((workdir / "correct/destreak.json").read_text())["parameters"]
    assert threshold["initial_threshold_grey"] == 5 * 257
    publish_channel.main(
        source="stacks/v3.json",
        parameters="correct/16bit.json",
        receipt="stacks/v3_channel_1.json",
        channel=1,
        render=RENDER,
        voxel_nm=VOXEL_NM,
    )
    assert classes("v3_channel_1") == [
        ["LinearIntensityMap16BitFilter", "LocalSmoothMaskStreakCorrector"]
    ]
