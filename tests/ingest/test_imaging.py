"""The page of the imaging: what came, what drifts, how long it lasts."""

from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.ingest import imaging, imaging_page, plot_metadata, report_imaging
from scripts.ingest.imaging import Seen, Series, Space
from scripts.lib.files import read_json, write_json, write_table
from tests.ingest.test_metadata import volume

START = datetime(2024, 3, 7, 18)  # noqa: DTZ001 - clock of the scope
SPACE = Space(of_layer=2e9, free=1e12)


def layers(count, minutes=2, missing=(), stop_after=None):
    """Rows of a volume that gets a layer every two minutes, with a stop of ten hours."""
    rows = []
    for z in range(1, count + 1):
        late = timedelta(hours=10) if stop_after is not None and z > stop_after else timedelta()
        time = START + timedelta(minutes=minutes * z) + late
        rows.append(
            {
                "z": str(z),
                "layer_id": f"M-1_{time:%y-%m-%d_%H%M%S}",
                "missing": "0-0-1,0-1-1" if z in missing else "",
                "gap_before_s": str(36_000 if z - 1 == stop_after else 60 * minutes),
            }
        )
    return rows


def test_what_came_by_day_and_how_long_the_rest_takes():
    found = imaging.summarise(
        Seen(layers(1440, missing={700})), SPACE, planned=3600, z_nm=8
    )  # two days of 720 layers
    assert [(one["day"], one["layers"]) for one in found["days"]] == [
        ("2024-03-07", 179),
        ("2024-03-08", 720),
        ("2024-03-09", 541),
    ]
    assert [one["tiles_missing"] for one in found["days"]] == [0, 2, 0]
    assert found["missing"] == ["M-1_24-03-08_172000 (z 700): no tile 0-0-1, 0-1-1"]
    assert found["last"] == {"layers": 720, "z_first": 721}
    left = found["to_go"]
    assert left["layers_per_day"] == pytest.approx(720)
    assert left["um_per_day"] == pytest.approx(5.76)
    assert (left["layers_left"], left["days_left"]) == (2160, pytest.approx(3.0))
    assert left["disk_needed_gb"] == pytest.approx(4320)
    assert left["disk_days_left"] == pytest.approx(1000 / (720 * 2))


def test_a_stop_counts_and_what_is_not_known_is_none():
    found = imaging.to_go(layers(301, stop_after=100), SPACE, planned=None, z_nm=8)
    assert found["layers_per_day"] == pytest.approx(300 / (20 / 24))  # ten hours of them stopped
    assert found["days_left"] is None
    for few in (layers(1), []):
        assert imaging.to_go(few, SPACE, planned=10, z_nm=8)["days_left"] is None


def test_drift_and_jumps_of_the_last_hours():
    rng, z = np.random.default_rng(1), np.arange(1.0, 1001)
    values = 3.42 + 1e-5 * z + rng.normal(0, 1e-4, 1000)
    values[900:] += 0.05
    values[500] = np.nan
    found = imaging.drifted(Series(z, values, "mm"), set(range(801, 1001)))
    assert found["jumps"] == [901]
    assert found["before"] == pytest.approx(3.424, abs=1e-3)
    early = imaging.drifted(Series(z, values, "mm"), set(range(501, 801)))
    assert early["per_1000_layers"] == pytest.approx(0.01, rel=0.1)
    assert early["jumps"] == []
    assert imaging.drifted(Series(z[:0], z[:0]), {1})["last"] is None


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A volume after a night: four layers, one file unreadable, one restart."""
    monkeypatch.chdir(tmp_path)
    rows = volume(4, lambda z, c: {"WD": 3.4 + 0.01 * z, "StageX": 1.0})
    for row in rows[:3]:
        with h5py.File(row["align_h5"], "r+") as file:
            file.attrs["contrast_range"] = [4000.0 + row["z"], 100.0]  # turned over, as 8 bit is
    columns = ("z", "layer_id", "missing", "gap_before_s", "align_h5")
    for row in rows:
        row |= {"missing": "", "gap_before_s": 60}
    write_table("layers.tsv", columns, rows)
    plot_metadata.main(
        layers="layers.tsv",
        volume="v",
        page="m.html",
        summary="m.json",
        rows="m.csv",
        cache="m.npz",
    )
    both = [{"raw_h5": "-", "align_h5": row["align_h5"]} for row in rows]
    write_table("transferred.tsv", ("raw_h5", "align_h5"), both)
    bad = [{"dat": "x<1>.dat", "reason": "truncated"}]
    write_table("quarantine.tsv", ("dat", "reason"), bad)
    write_table("misfits.tsv", ("dat", "reason"), [])
    write_table("restarts.tsv", ("z", "reason"), [{"z": 3, "reason": "acquisition_delay"}])
    names = ("layers", "transferred", "quarantine", "misfits", "restarts")
    return {name: f"{name}.tsv" for name in names} | {"metadata": "m.json", "cache": "m.npz"}


def made(inputs):
    report_imaging.main(
        inputs=inputs, page="i.html", summary="i.json", volume="v", planned_layers=10, z_nm=8
    )
    return read_json("i.json"), Path("i.html").read_text()


def test_the_job_tells_what_there_is(night):
    figures, html = made(night)
    assert figures["layers"] == 4
    assert list(figures["drift"]) == ["Working distance", "Contrast", "Brightness"]
    assert figures["drift"]["Contrast"]["last"] == pytest.approx(3902)
    assert figures["jumps"] == ["z 3: acquisition delay"]
    assert figures["to_go"]["layers_left"] == 6
    assert figures["to_go"]["disk_needed_gb"] > 0
    assert "x&lt;1&gt;.dat: truncated" in html
    assert "Nothing is aligned yet." in html
    write_json(
        "solve/misalignment.json", {"state": "good", "steps": {"rms_px": 0.25}, "seams": None}
    )
    row = {"z": 4, "delta_z": 1.25, "problem": None}
    write_json("zcorr/qc.json", {"layers": [row], "figures": {"thickness_sd": 0.1}})
    figures, html = made(night)
    assert figures["thickness"] == {"to_z": 4, "last": 1.25, "sd": 0.1, "problems": 0}
    assert "left over between layers" in html


def test_a_volume_without_layers_has_a_page():
    figures = imaging.summarise(Seen([]), SPACE, planned=None, z_nm=8)
    assert "Nothing is aligned yet." in imaging_page.page(figures, {}, volume="v", here="i.html")
