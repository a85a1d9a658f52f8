"""Layers of a volume that grows: what the export has, what is new, what has come since."""

import dataclasses
import os

import pytest

from scripts.lib import files
from scripts.report import status, waves
from tests.report.conftest import NAMES

AT = 1_767_225_600  # s since 1970


@pytest.fixture
def grown(good, tmp_path, monkeypatch):
    """Note a wave of so many layers; gives all waves."""
    monkeypatch.setenv("TZ", "UTC")
    files.write_json(tmp_path / "export/volume.json", {})

    def note(last, day=0):
        os.utime(tmp_path / "export/volume.json", (AT + 86400 * day,) * 2)
        keep = good["layers"]["z"] <= last
        tables = {name: good[name].where(keep) for name in ("layers", "transfer")}
        stack = {"tile_count": 4 * last, "z_min": 1.0, "z_max": float(last)}
        documents = good.documents | {"volume": {"x": 1}}
        found = dataclasses.replace(
            good,
            tables=dict(good.tables) | tables,
            stacks={NAMES["final"]: stack},
            documents=documents,
        )
        return waves.noted(tmp_path, found, NAMES["final"])

    return note


def test_a_wave_says_what_is_new_since_the_one_before_however_often_it_is_reported(grown):
    first = grown(8)
    assert waves.sentence(first, imaging=True) == (
        "The volume holds layers z 1 to 8; more may come (no acquisition.last_dat is set)."
    )
    assert waves.sentence(first, imaging=False) == ""
    second = grown(12, day=7)
    assert grown(12, day=7) == second
    told = waves.sentence(second, imaging=False)
    assert told.startswith("The volume holds layers z 1 to 12; z 9 to 12 (4) are new since 20")


def test_layers_that_have_come_since_are_counted_with_what_the_export_has(grown, tmp_path):
    table, columns = tmp_path / "transfer/layers.tsv", ("layer_id",)
    rows = [{"layer_id": f"Merlin-6284_24-03-07_1011{k:02d}"} for k in range(12)]
    files.write_table(table, columns, rows[:8])
    assert waves.since(tmp_path, {}) == ""  # no report
    grown(8)
    assert waves.since(tmp_path, {}) == ""
    files.write_table(table, columns, rows[:10])
    said = waves.since(tmp_path, {})
    assert said.startswith("2 new layers since 20")
    assert said.endswith("; the export has z 1 to 8")
    dats = tmp_path / "dat"
    for row in [*rows, {"layer_id": "Other-1_24-03-07_101159"}]:
        files.write_text(dats / "2024" / f"{row['layer_id']}_0-0-0.dat", "")
    files.write_text(dats / "notes.dat", "")
    mine = {"scope": "Merlin-6284"}
    assert waves.since(tmp_path, mine, dats).startswith("4 new layers")
    last = f"{rows[10]['layer_id']}_0-0-0.dat"
    assert waves.since(tmp_path, mine | {"last_dat": last}, dats).startswith("3 new layers")


def test_the_status_of_a_finished_volume_begins_with_what_has_come():
    row = status.Status("v", status.FINISHED, "report", "all", waits="good", new="2 new layers")
    assert row.cells[-1] == "2 new layers; good"
    assert dataclasses.replace(row, state=status.WAITS).cells[-1] == "good"
