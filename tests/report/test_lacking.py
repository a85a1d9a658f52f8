"""Layers without any file, and slices that were lost, in the report."""

import dataclasses

import numpy as np
import pytest
import yaml

from scripts.lib.verdicts import GOOD, LOOK
from scripts.report.gather import Table
from tests.report.conftest import judge

LOW = "correlation with next 0.80, 7 standard deviations below the 0.90 of its surroundings"


def lacking(evidence, by="FIBSliceNum", delta_z=2.0, low=True, lost=False, rows=1):
    """Evidence of a run in which a layer without files lies between z 6 and 7."""
    row = {"z": 7, "after": 6, "after_id": "Merlin-1_21-07-31_000400", "layers": 1, "by": by}
    row |= {"evidence": "80 s between them, where 40 s are usual"}
    table = Table({name: np.array([value] * rows) for name, value in row.items()}, found=True)
    layers = [dict(one) for one in evidence.documents["qc"]["layers"]]
    at = next(i for i, one in enumerate(layers) if one["z"] == 7)
    layers[at] |= {"delta_z": delta_z, "lost_before": lost, "missing_before": int(rows > 0)}
    moved = delta_z - (evidence.z_coords[7] - evidence.z_coords[6])
    z_coords = {z: at_z + moved * (z > 6) for z, at_z in evidence.z_coords.items()}
    layers[at - 1] |= {"problem": LOW if low else None, "cc_next": 0.8 if low else 0.9}
    return dataclasses.replace(
        evidence,
        tables=dict(evidence.tables) | {"missing_layers": table},
        z_coords=z_coords,
        documents=dict(evidence.documents) | {"qc": {"layers": layers}},
    )


def about(evidence):
    return [one for one in judge(evidence)[1] if "seems" in one.what or LOW in one.what]


def test_a_layer_without_files_is_told_once_with_the_entry_that_keeps_its_place(good):
    (one,) = about(lacking(good))
    assert (one.stage, one.where, one.state) == ("ingest", "z 6 to 7", LOOK)
    assert one.what == (
        "a layer seems to be missing: 80 s between them, where 40 s are usual; 2.00 layers wide in"
        " the corrected z, correlation 0.800"
    )
    assert "exclude:" not in one.lines
    (entry,) = yaml.safe_load(one.lines)["ingest"]["layers"]
    assert (entry["gap"], entry["after"]) == (1, "Merlin-1_21-07-31_000400")


@pytest.mark.parametrize(
    ("by", "delta_z", "low", "state"),
    [("time", 1.1, False, GOOD), ("time", 2.0, False, LOOK), ("time", 1.1, True, LOOK),
     ("FIBSliceNum", 1.1, False, LOOK)],
)  # fmt: skip
def test_a_gap_of_time_over_one_layer_was_a_pause(good, by, delta_z, low, state):
    (one,) = about(lacking(good, by, delta_z, low))
    assert one.state == state
    assert ("pause" in one.what) == (state == GOOD)
    assert bool(one.lines) == (state != GOOD)


def test_behind_a_lost_slice_nothing_is_to_be_excluded(good):
    (one,) = about(lacking(good, lost=True, rows=0))
    assert (one.stage, one.state) == ("zcorr", LOOK)
    assert one.what.endswith("a slice was lost behind it, 2.00 layers wide")
    assert "nothing is to be excluded" in one.advice


def test_more_places_than_are_named_are_counted(good):
    found = judge(lacking(good, rows=9))[1]
    assert any("4 more places" in one.what for one in found)
