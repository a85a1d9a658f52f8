"""Bad volumes that are told by what the stages made: match to export, and the service."""

import dataclasses
import errno
import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from scripts.demo import acquire
from scripts.export import disk, promote_volume
from scripts.lib.array_files import write_columns
from scripts.lib.job import UserError
from scripts.lib.service.client import RenderClient
from scripts.lib.service.errors import ReceiptMismatch, ServiceUnreachable
from scripts.lib.service.receipts import CollectionReceipt
from scripts.lib.verdicts import LOOK, NOT_GOOD
from scripts.render_ws.app import create_app  # noqa: F401 - the embedded service
from scripts.report import gather
from scripts.review import decisions
from scripts.solve import aligned, check_alignment, moments, solve_transforms
from scripts.zcorr import qc, remedies
from tests.bad_volumes.cases import REFUSED, Told, bad, inside, refused
from tests.export import synthetic, test_export_jobs
from tests.lib.service.test_client import NM, make_tiles
from tests.report import test_judged, test_lacking
from tests.report.conftest import NAMES, RESULTS, SMALL, judge
from tests.report.fabricate import fabricate
from tests.review import test_exchanged, test_review
from tests.solve.test_misalignment import row as place

# ---- what the report says of tables --------------------------------------------------------------


@functools.cache
def good():
    """Evidence of a fabricated run in which all is right."""
    folder = Path(tempfile.mkdtemp())
    truth = acquire.acquire(SMALL, folder)
    fabricate(folder / "run", folder, truth)
    found = gather.gather(folder / "run", results=RESULTS)
    layers = [row | {"problem": None} for row in found.documents["qc"]["layers"]]
    documents = dict(found.documents) | {"qc": {"layers": layers}}
    return dataclasses.replace(found, documents=documents)


def reported(evidence, names=NAMES):
    """How the report judges, and its reasons."""
    figures, _ = judge(evidence, names)
    return Told(figures["verdict"]["state"], "\n".join(figures["verdict"]["reasons"]))


def column(name, change):
    return test_judged.changed(good()["solved"], {name: change})


def solved(**columns):
    return reported(test_judged.damaged(good(), "solved", **columns))


def one(value):
    """Give the sixth tile a value."""

    def change(values):
        values = values * 1.0
        values[5] = value
        return values

    return change


@bad("an absent column", "ingest", NOT_GOOD, r"^ingest: .*no layer has a tile in column 2 of the")
def absent_column(_folder):
    """No layer has a tile in the third column of the grid."""
    made = test_judged.missing(good(), "0-0-2,0-1-2", 12)
    return reported(made, NAMES | {"columns": 3})


@bad("an absent row", "ingest", NOT_GOOD, r"^ingest: .*no layer has a tile in row 1 of the grid")
def absent_row(_folder):
    """No layer has a tile in the second row of the grid."""
    return reported(test_judged.missing(good(), "0-1-0,0-1-1", 12))


@bad(
    "a third of the tiles is absent",
    "ingest",
    NOT_GOOD,
    r"^ingest: all layers: 2\d of \d+ tiles are missing",
)
def absent_third(_folder):
    """Two of four tiles are absent in all layers but one."""
    return reported(test_judged.missing(good(), "0-1-1,0-0-1", 11))


@bad("an absent edge", "ingest", LOOK, r"(?m)^ingest: z 1-4.*tile 1-1 .* is missing in 5")
def absent_edge(_folder):
    """The outer tile of the first layers is absent."""
    return reported(test_judged.missing(good(), "0-1-1", 4))


@bad("lost layers", "ingest", LOOK, r"^ingest: z 3 .*a layer without any readable tile")
def lost_layer(_folder):
    """A layer of which no tile could be read, and that no one has declared."""

    def gap(states):
        states[2] = "gap"
        return states

    def undeclared(values):
        values[:] = ""
        return values

    return reported(test_judged.damaged(good(), "layers", status=gap, declared=undeclared))


@bad(
    "layers without files", "ingest", LOOK, r"^ingest: z 6 to 7: a layer seems to be missing: 80 s"
)
def no_files(_folder):
    """No file of a layer is there, and nothing says so but the time between its neighbours."""
    return reported(test_lacking.lacking(good(), "time"))


@bad(
    "a slice lost between two good layers", "zcorr", LOOK, r"^zcorr: z 6: .*a slice was lost behind"
)
def lost_slice(_folder):
    """A layer was milled and not imaged: its neighbours correlate badly, and are good."""
    return reported(test_lacking.lacking(good(), lost=True, rows=0))


@bad("a match preset too strict", "match", NOT_GOOD, r"match: .*pairs have matches: ")
def strict_preset(_folder):
    """Nearly no pair of any run was saved."""
    return reported(test_judged.unsaved(good(), 0.99))


@bad("pairs that often fail", "match", LOOK, r"^match: .*cross pairs have matches: .*saved_pct")
def weak_matches(_folder):
    """One of three pairs of neighbouring layers was not saved."""

    def change(saved):
        at = np.flatnonzero((good().results["run"] == "cross") & (good().results["dz"] == 1))
        saved[at[::3]] = 0
        return saved

    return reported(test_judged.damaged(good(), "results", saved=change))


@bad("a seam without matches", "match", NOT_GOOD, r"^match: .*between tiles 0-0 and 0-1")
def open_seam(_folder):
    """No layer has matches between two tiles that lie beside each other."""
    return reported(test_judged.unsaved(good(), 1.0, edge=("0-0-0", "0-0-1")))


@bad("pairs left out in a row", "solve", LOOK, r"^solve: .*left out of the solve as wrong, up to 2")
def left_out(_folder):
    """The solve gave two pairs of one edge no weight, and pixels do not confirm it."""
    made = test_judged.damaged(
        test_judged.wrong(good(), [2, 3]), "misalignment", used=lambda u: u * 0
    )
    return reported(made)


@bad("a magnification that no header tells of", "solve", LOOK, r"^solve: z 7: .*scaled by 1\.100")
def magnified(_folder):
    """From layer 7 on everything is 10 % larger, and the headers say nothing of it."""
    return reported(test_judged.scaled(good(), 1.1))


@bad("matches that disagree everywhere", "solve", NOT_GOOD, r"^solve: .*agree to .*residual_px")
def all_residuals(_folder):
    """Residuals of all tiles times 200."""
    return solved(rms_px=lambda values: values * 200)


@bad(
    "a tile whose matches disagree", "solve", NOT_GOOD, r"^solve: .*the matches of 1 tiles disagree"
)
def one_residual(_folder):
    """The residual of one tile is 20 px."""
    return solved(rms_px=one(20.0))


@bad("a tile stretched by few matches", "solve", NOT_GOOD, r"^solve: .*1 tile is scaled too much")
def one_scale(_folder):
    """One tile is 6 % wider than the others."""
    return solved(scale_x=one(1.06))


@bad("a restart with a turn", "solve", LOOK, r"^solve: .*tiles are turned or sheared too much")
def turned(_folder):
    """From a layer on all tiles are turned by a degree."""

    def turn(values):
        return np.where(good()["solved"]["z"] > 8, 17.5, values)

    return solved(rotation_mrad=turn)


@bad("tiles that nothing holds", "review", LOOK, r"^review: .*are connected by matches: ")
def loose_tile(_folder):
    """One tile lies outside of the largest cluster."""

    def change(cluster):
        cluster[np.flatnonzero(cluster == 1)[0]] = 2
        return cluster

    return reported(test_judged.damaged(good(), "review", cluster=change))


@bad("layers that look nothing alike", "zcorr", NOT_GOOD, r"^zcorr: .*layers correlate .* by 0\.1")
def unlike_layers(_folder):
    """Layers correlate with the next by 0.1."""
    layers = [{"z": z, "cc_next": 0.1} for z in range(1, 13)]
    documents = dict(good().documents) | {"qc": {"layers": layers}}
    return reported(dataclasses.replace(good(), documents=documents))


@bad("layers thinner than they should be", "zcorr", LOOK, r"^zcorr: .*layers are 0\.335 of the nom")
def thin_layers(_folder):
    """The measured thickness is a third of `acquisition.z_nm`."""
    return reported(test_judged.with_qc(good(), measured_thickness=0.335))


@bad("layers thicker than they should be", "zcorr", NOT_GOOD, r"^zcorr: .*layers are 12 of the nom")
def thick_layers(_folder):
    """The measured thickness is twelve times `acquisition.z_nm`."""
    return reported(test_judged.with_qc(good(), measured_thickness=12.0))


@bad(
    "a layer that fits neither neighbour", "zcorr", LOOK, r"^zcorr: z 6: correlation with next 0\.2"
)
def odd_layer(_folder):
    """One layer correlates with the next by 0.2."""
    cc = np.where(np.arange(12) == 5, 0.2, 0.9)
    found = qc.problems(cc, problem_correlation=0.3, problem_deviations=6.0)
    layers = [
        {"z": z + 1, "cc_next": float(cc[z]), "problem": found[z], "delta_z": None}
        for z in range(12)
    ]
    documents = dict(good().documents) | {"qc": {"layers": layers}}
    return reported(dataclasses.replace(good(), documents=documents))


@bad("cells that show each other's image", "review", REFUSED, r"^Cells 0,0 and 0,1 of z 2 are exch")
def exchanged_cells(_folder):
    """Two tiles of a layer look damaged, and each is like the other cell of the layers around."""
    found, _ = test_exchanged.gated()
    return closed(found)


@bad(
    "too many layers that do not fit", "zcorr", REFUSED, r"layers .* correlate badly with the next"
)
def many_odd_layers(_folder):
    """Three of ten layers do not fit."""
    rows = [{"z": z, "problem": "low" if z in (3, 4, 7) else None} for z in range(10)]
    judged = qc.gate({"layers": rows}, accepted=[], limit_pct=1.0)
    return Told(REFUSED if judged["status"] == "failed" else "good", remedies.refusal(judged, ""))


# ---- the gates -----------------------------------------------------------------------------------


def closed(found, **more):
    """What the gate before the solve says."""
    said = test_review.told(found, **more)
    return Told(REFUSED, said[0]) if said else Told("good", "")


@bad("a volume in two parts", "review", REFUSED, r"in two parts, z 1–4 and 11–14; nothing matches")
def two_parts(_folder):
    """No match across six layers of fourteen."""
    tiles = test_review.grid(14, 1, 1)
    gap = {(z, 0, 0) for z in range(5, 11)}
    pairs = test_review.pairs_of(tiles, without=gap)
    return closed(test_review.evidence(tiles, pairs, auto=False))


@bad(
    "no match at all",
    "review",
    REFUSED,
    r"0 of 8 pairs of adjacent layers .*match\.preset is strict\.yaml",
)
def no_match(_folder):
    """A stage table that no pair passes."""
    grid = test_review.grid(3)
    found = test_review.evidence(grid, [], failed=test_review.pairs_of(grid))
    return closed(replace(found, preset="strict.yaml"))


@bad("a contrast that flips", "review", REFUSED, r"Contrast flips at z 21, 22: ")
def contrast(_folder):
    """The detector's polarity changes, and matches end there."""
    tiles = test_review.grid(4)
    pairs = test_review.pairs_of(tiles, without={(1, 0, 0)})
    return closed(test_review.evidence(tiles, pairs, auto=False, contrast_flips=[21.0, 22.0]))


@bad("a seam that no layer has", "review", REFUSED, r"Cells 0,0 and 0,1 have no match in any of")
def unseamed(_folder):
    """Two tiles that lie beside each other, and no match in 30 layers."""
    return closed(test_review.unseamed(30, range(1, 31)))


@bad("a picture that is spoilt", "review", REFUSED, r"t_0-0-0\.1\.0")
def spoilt_tile(_folder):
    """A tile whose pixels could not be read."""
    tiles = test_review.grid(5)
    pairs = test_review.pairs_of(tiles)
    return closed(test_review.evidence(tiles, pairs, auto=False, invalid_tiles=["t_0-0-0.1.0"]))


@bad(
    "a decision about a tile that is not there",
    "review",
    REFUSED,
    r"exclude\[0\]: there is no tile",
)
def unknown_tile(_folder):
    """`review.exclude` names a tile of another volume."""
    tiles = list(test_review.grid(2).values())
    entries = [{"tiles": ["other"], "reason": "r"}]
    return refused(UserError, decisions.by_config, tiles, entries)


@bad(
    "tiles that lie beside each other", "solve", REFUSED, r"leaves tiles 6\.0 px beside each other"
)
def gate_of_solve(folder):
    """One tile of many lies 6 px off: nothing is exported."""
    from tests.solve.test_misalignment import closed as close
    from tests.solve.test_misalignment import good as rows

    folder.mkdir(parents=True, exist_ok=True)
    return refused(UserError, close, folder, [*rows(), place(z=7, px=6.0)])


@bad("places that were accepted, and others", "solve", REFUSED, r"z 20 to 21: layers do not meet")
def other_place(_folder):
    """An entry of `solve.misalignment.accept` for one place, and a second one that is as bad."""
    worst = {"z": 20, "other_z": 21, "p_id": "a", "q_id": "b", "x": 0, "y": 0}
    found = {
        "kind": "step", "z_first": 20, "z_last": 21, "cells": ["0-0/0-0"], "places": 1, "px": 5.0,
        "error_px": 0.1, "worst": worst,
    }  # fmt: skip
    wrong = check_alignment.refused([found], [{"z": [7, 8], "reason": "seen"}], 4.0)
    return Told(REFUSED if wrong else "good", check_alignment.message(wrong, 4.0))


@bad("a solve of other matches", "solve", REFUSED, r"expected the 7 pairs of collection m")
def other_matches(folder):
    """The moments on disk are those of an older set of matches."""
    folder.mkdir(parents=True, exist_ok=True)
    write_columns(folder / "m.npz", moments.of_matches([]))
    receipt = CollectionReceipt("o", "m", 7, 7, 0, "d", {}, {})
    return refused(UserError, solve_transforms.gathered, [folder / "m.npz"], [receipt])


@bad("a tile without a place", "solve", REFUSED, r"expected a transform for each tile, found none")
def no_transform(_folder):
    """The solve's file lacks a tile of the stack."""
    return refused(UserError, aligned.aligned, make_tiles(), {})


# ---- export --------------------------------------------------------------------------------------


def exported(folder, spoil, check):
    """What the check of a finished export says after `spoil`."""
    with inside(folder):
        synthetic.publish(folder, test_export_jobs.LAYERS)
        test_export_jobs.coordinates(test_export_jobs.LAYERS)
        test_export_jobs.export()
        spoil()
        return refused(UserError, check)


def _block():
    return min(Path("v.zarr/recon-1/em/fibsem-uint8/s0/1").rglob("*/*"))


@bad("an exported block that is gone", "export", REFUSED, r"v\.zarr.*s0: \d+ files are stored")
def gone_block(folder):
    """One file of a finished volume was removed."""
    return exported(folder, lambda: _block().unlink(), test_export_jobs.close)


@bad("an exported block that is torn", "export", REFUSED, r"v\.zarr.*s0 voxels z, y, x \[\[8, 16\]")
def torn_block(folder):
    """One file of a finished volume was cut off."""
    return exported(
        folder,
        lambda: _block().write_bytes(_block().read_bytes()[:40]),
        lambda: test_export_jobs.check("0001"),
    )


@bad("a pyramid that is torn", "export", REFUSED, r"v\.n5.*s1")
def torn_pyramid(folder):
    """One file of a reduced level was cut off."""

    def spoil():
        block = next(iter(Path("v.n5/em/fibsem-uint8/s1").rglob("*/*/*")))
        block.write_bytes(block.read_bytes()[:40])

    return exported(folder, spoil, test_export_jobs.close)


@bad(
    "a block lost after the last check", "export", REFUSED, r"s0: \d+ files, \d+ when .*Nothing was"
)
def lost_block(folder):
    """A file of a finished volume was removed before the volume was promoted."""

    def promote():
        Path("finished").mkdir()
        plans, volumes = ["export/plan.json"], ["export/volume.json"]
        promote_volume.main(plans=plans, volumes=volumes, out="p.json", root="finished")

    return exported(folder, lambda: _block().unlink(), promote)


def _written(code):
    def write():
        with disk.reported():
            raise OSError(code, "?", "v/s0/1")

    return refused(UserError, write)


@bad("a full disk", "export", REFUSED, r"v/s0/1 cannot be written: No space left on device")
def full(_folder):
    """The disk fills up while blocks are written."""
    return _written(errno.ENOSPC)


@bad("a disk that is read-only", "export", REFUSED, r"cannot be written: Read-only file system")
def read_only(_folder):
    """The file system of the export is mounted read-only."""
    return _written(errno.EROFS)


# ---- the service ---------------------------------------------------------------------------------


def required(folder, change):
    """What a job says that needs a stack which `change` changed behind its receipt."""
    folder.mkdir(parents=True, exist_ok=True)
    client = RenderClient("o", "p", base_url=f"sqlite:///{folder}/r.db")
    receipt = client.publish_stack("a", make_tiles(), resolution_nm=NM)
    changed = change(client, receipt) or receipt
    return refused(ReceiptMismatch, client.require, changed)


@bad("a service that is down", "render-ws", REFUSED, r"^render\.url: .*Connection ref")
def service_down(_folder):
    """Nothing answers at `render.url`."""
    client = RenderClient("o", "p", base_url="http://127.0.0.1:9/render-ws/v1", patience_s=0)
    return refused(ServiceUnreachable, client.z_values, "a")


@bad("a stack that someone changed", "render-ws", REFUSED, r"4 tiles, expected 6.*another run")
def changed_stack(folder):
    """The stack of the receipt was published again with fewer tiles."""

    def change(client, _receipt):
        client.publish_stack("a", make_tiles(layers=2), resolution_nm=NM)

    return required(folder, change)


@bad("a stack that is not complete", "render-ws", REFUSED, r"LOADING, not COMPLETE")
def loading_stack(folder):
    """A job was killed while it wrote the stack."""
    return required(folder, lambda client, _receipt: client.set_state("a", "LOADING"))


@bad("a receipt of another project", "render-ws", REFUSED, r"o/elsewhere")
def other_project(folder):
    """The working directory was copied from another project."""
    return required(folder, lambda _client, receipt: replace(receipt, project="elsewhere"))


@bad("matches that were removed", "render-ws", REFUSED, r"it has 0 pairs, expected 3")
def lost_pairs(folder):
    """The match collection of the receipt is empty."""
    return required(folder, lambda _c, _r: CollectionReceipt("o", "m", 3, 3, 0, "", {}, {}))
