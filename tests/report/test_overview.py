"""Many volumes on one page: a row each, whatever state they are in."""

import re

import pytest
import yaml

from scripts.lib import files
from scripts.report import overview, volumes
from scripts.report.volumes import Volume
from tests import browser
from tests.report.conftest import judge
from tests.report.test_browser import CHECKS, CLEAN

ERROR = "2026-01-01 00:00:00,000 ERROR job: tile 0-1 is torn\n"


@pytest.fixture
def config(tmp_path):
    """Make the config of a volume with its folder; gives both."""

    def make(name, **content):
        folder = tmp_path / f"work of {name}"
        folder.mkdir()
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"volume": name, "work_dir": str(folder)} | content))
        return path, folder

    return make


def test_a_finished_volume_has_its_verdict_figures_and_link(config, good, tmp_path):
    path, folder = config("fly")
    figures, _ = judge(good)
    files.write_json(folder / "report/summary.json", figures)
    files.write_text(folder / "report/index.html", "x")
    for name in ("transfer/gate.json", "review/gate.json", "review/tiles.tsv"):
        files.write_text(folder / name, "{}")
    found = volumes.read(path)
    assert (found.name, found.stage, found.verdict, found.waits) == ("fly", "report", "good", "")
    assert found.values["layers"] == 12
    assert found.values["residual"] == pytest.approx(figures["solve"]["residual_px"]["p50"])
    text = overview.page([found], tmp_path)
    assert 'href="work of fly/report/index.html"' in text
    assert "Nothing waits." in text


def test_a_gate_and_an_error_wait_for_somebody(config, tmp_path):
    gate, folder = config("gate")
    files.write_text(folder / "review/tiles.tsv", "x")
    torn, folder = config("torn")
    files.write_text(folder / "logs/solve_transforms/all.log", ERROR)
    found = [volumes.read(path) for path in (gate, torn)]
    assert [one.verdict for one in found] == ["look", "not good"]
    assert found[0].waits == "gate before the solve: a person decides"
    assert found[1].waits == "solve_transforms: tile 0-1 is torn"
    text = overview.page(found, tmp_path)
    assert text.index("tile 0-1 is torn") < text.index("a person decides")


def test_a_volume_at_a_gate_leads_to_the_page_that_one_decides_on(config, tmp_path):
    path, folder = config("gate")
    files.write_text(folder / "logs/check_gate/gate.log", ERROR)
    assert volumes.read(path).decide is None  # there is no such page
    files.write_text(folder / "review/index.html", "x")
    link = f'<a href="{(folder / "review/index.html").relative_to(tmp_path)}">'
    assert overview.page([volumes.read(path)], tmp_path).count(link) == 2


@pytest.mark.parametrize("content", ["volume: [", "a: 1", "", "- 1", "volume: x\nwork_dir: null"])
def test_a_config_that_cannot_be_read_is_a_row_and_stops_nothing(config, tmp_path, capsys, content):
    path, _ = config("good")
    bad = tmp_path / "bad.yaml"
    bad.write_text(content)
    out = tmp_path / "o.html"
    assert overview.main([str(path), str(bad), "--out", str(out)]) == 1
    assert "bad.yaml" in capsys.readouterr().err
    assert "its config cannot be read" in out.read_text()


def test_a_volume_that_has_not_begun_is_folded_away(config, tmp_path):
    path, _ = config("new")
    text = overview.page([volumes.read(path)], tmp_path)
    assert "1 not begun" in text
    assert "None of these volumes has begun." in text


def test_half_a_summary_is_none(config):
    path, folder = config("half")
    files.write_text(folder / "report/summary.json", '{"verdict"')
    assert volumes.read(path).values["layers"] is None


def many(residuals, tmp_path):
    return [
        Volume(f"v{k}", tmp_path / "c", tmp_path, "report", "good", values={"residual": value})
        for k, value in enumerate(residuals)
    ]


def test_what_stands_out_of_the_other_volumes_is_marked_on_the_bad_side_alone(tmp_path):
    usual = [0.30, 0.31, 0.29, 0.32, 0.30, 0.28, 0.31]
    text = overview.page(many([*usual, 0.9], tmp_path), tmp_path)
    assert re.findall(r"<mark[^>]*>([^<]*)", text) == ["0.90 px"]
    assert "<mark" not in overview.page(many([*usual, 0.01], tmp_path), tmp_path)
    assert "<mark" not in overview.page(many([*usual[:4], 0.9], tmp_path), tmp_path)  # too few


@browser.needed
def test_the_page_fits_a_phone(config, good, tmp_path):
    _, folder = config("a")
    found = [*many([0.3] * 8, tmp_path), Volume("b", folder, None, waits="x" * 200)]
    text = overview.page(found, tmp_path)
    assert browser.run(text, browser.OVERFLOWING + CHECKS, tmp_path, width=390) == CLEAN
