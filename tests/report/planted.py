"""Ten faults of a run, each planted into the evidence of a good one, and the words that tell it."""

import dataclasses

import numpy as np

from scripts.lib.verdicts import LOOK
from tests.report.conftest import NAMES
from tests.report.test_agreeing import without
from tests.report.test_judged import damaged, with_qc
from tests.report.test_meeting import with_measure


def _replaced(evidence, **documents):
    return dataclasses.replace(evidence, documents=dict(evidence.documents) | documents)


def gate(good):
    return _replaced(good, gate=None)


def loose(good):
    odd = good["review"]["column"] == 1
    return damaged(good, "review", state=lambda v: np.where(odd, "unconnected", v))


def problem(good):
    layers = [dict(row) for row in good.documents["qc"]["layers"]]
    layers[5]["problem"] = "looks like no other layer"
    return _replaced(good, qc={**good.documents["qc"], "layers": layers})


def steps(good):
    return with_measure(good, state=LOOK, reasons=["z 3: layers do not meet, 5.0 px"])


def back(good):
    return dataclasses.replace(good, z_coords=dict(good.z_coords) | {7: 2.0})


def lost(good):
    return without(good, "solved", np.arange(len(good["solved"])) != 5)


def stack(good):
    count = {"tile_count": len(good["solved"]) - 1}
    return dataclasses.replace(good, stacks={NAMES["align"]: count})


def matches(good):
    return damaged(good, "results", saved=lambda v: np.where(np.arange(len(v)) % 2, 0, v))


def residual(good):
    return damaged(good, "solved", rms_px=lambda v: v * 200)


def thickness(good):
    return with_qc(good, measured_thickness=0.1)


# fault -> (stage whose section has it, words of the cause)
FAULTS = {
    gate: ("review", "gate before the solve is closed"),
    loose: ("review", "outside of the main cluster"),
    problem: ("zcorr", "looks like no other layer"),
    steps: ("solve", "layers do not meet"),
    back: ("zcorr", "z goes back"),
    lost: ("solve", "neither placed nor taken out"),
    stack: ("solve", "holds"),
    matches: ("match", "pairs"),
    residual: ("solve", "the matches of a tile agree to"),
    thickness: ("zcorr", "thickness"),
}
