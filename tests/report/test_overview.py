"""Many volumes on one page: a row each, whatever state they are in."""

import os
import re
import shutil

import pytest
import yaml

from scripts.lib import files, running
from scripts.lib.running import News
from scripts.report import known, overview, progress, summary, volumes
from scripts.report.volumes import Volume
from tests import browser
from tests.report.conftest import judge
from tests.report.planted import lost, residual
from tests.report.test_browser import CHECKS, CLEAN
from tests.report.test_status import claim

VALID = yaml.safe_load((volumes.ROOT / "config/config.yaml").read_text())
ERROR = "2026-01-01 00:00:00,000 ERROR job: tile 0-1 is torn\n"


@pytest.fixture
def config(tmp_path):
    """Make the config of a volume with its folder; gives both."""

    def make(name, **content):
        folder = tmp_path / f"work of {name}"
        folder.mkdir()
        path = tmp_path / f"{name}.yaml"
        own = {"volume": name, "work_dir": str(folder)}
        path.write_text(yaml.safe_dump(VALID | own | content))
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


def test_at_a_gate_the_figures_are_shown_that_are_known_without_a_report(config, run, tmp_path):
    path, folder = config("gate")
    root, _, evidence = run
    figures = summary.summarise(evidence, volume="x")
    for name in ("ingest", "match", "solve", "transfer"):
        shutil.copytree(root / name, folder / name)
    files.write_text(
        folder / "logs/check_alignment/gate.log", ERROR.replace("torn", "off:\n  by 3")
    )
    (folder / "match/summary.tsv").write_text("run\tprocessed\tsaved\na\t8\t6\na\t2\t1\nb\t2\t1\n")
    found = volumes.read(path)
    assert found.values["layers"] == figures["ingest"]["layers"]
    assert found.values["tiles missing"] == figures["solve"]["counts"]["missing"]
    assert found.values["residual"] == pytest.approx(figures["solve"]["residual_px"]["p50"])
    assert found.values["pairs saved"] == 80.0
    assert found.values["correlation"] is None
    assert found.waits == "the gate of the alignment (check_alignment): tile 0-1 is off: by 3"
    files.write_json(folder / "report/so_far.json", {"ingest": {"layers": 1}, "zcorr": None})
    os.utime(folder / "report/so_far.json", (1, 1))  # of a run of fewer layers
    assert volumes.read(path).values["layers"] == figures["ingest"]["layers"]


def test_before_the_solve_the_holes_are_the_tiles_that_are_missing(config, run):
    _, folder = config("gate")
    root, _, evidence = run
    shutil.copytree(root / "transfer", folder / "transfer")
    assert known.figures(folder)["ingest"]["layers"] == len(evidence["transfer"])
    shutil.copytree(root / "ingest", folder / "ingest")
    holes = summary.holes_of(evidence["layers"])
    assert known.figures(folder)["solve"]["counts"]["missing"] == sum(
        len(hole["missing"]) for hole in holes
    )


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("tiles have no matches. Look at them.", "tiles have no matches."),
        ("off by 3.1 px, e.g. Z 4 in a.tsv. Do this", "off by 3.1 px, e.g. Z 4 in a.tsv."),
        ("these are off:\n  z 4. Mend it\nreview:", "these are off: z 4."),
        ("add to the config:\nreview:\n  x", "add to the config:"),
    ],
)
def test_a_message_is_cut_after_its_first_sentence(message, sentence):
    assert progress.first_sentence(message) == sentence


def test_the_whole_message_is_folded_below_its_first_sentence(config, tmp_path):
    path, folder = config("gate")
    files.write_text(
        folder / "logs/check_gate/gate.log", ERROR.replace("torn", "off. Add\nreview:")
    )
    text = overview.page([volumes.read(path)], tmp_path)
    assert "tile 0-1 is off.<details><summary>the whole message" in text
    assert "<pre>tile 0-1 is off. Add\nreview:</pre>" in text


@pytest.mark.parametrize("content", ["volume: [", "a: 1", "", "- 1", "volume: x\nwork_dir: null"])
def test_a_config_that_cannot_be_read_is_a_row_and_stops_nothing(config, tmp_path, capsys, content):
    path, _ = config("good")
    bad = tmp_path / "bad.yaml"
    bad.write_text(content)
    out = tmp_path / "o.html"
    assert overview.main([str(path), str(bad), "--out", str(out)]) == 1
    assert "bad.yaml" in capsys.readouterr().err
    text = out.read_text()
    assert "refused: its config cannot be read" in text
    assert "refused</span>" in text
    assert "not good</span>" not in text


def test_a_volume_that_has_not_begun_is_folded_away(config, tmp_path):
    path, _ = config("new")
    text = overview.page([volumes.read(path)], tmp_path)
    assert "1 not begun" in text
    assert "None of these volumes has begun." in text


def told(path, now=1_000_000.0):
    """Text of the overview of one volume: what waits, and its row."""
    text = overview.page([overview.read(path, now)], path.parent)
    shown = text.partition('id="waiting"')[2].split('id="volumes"')
    return [re.sub(r"<[^>]+>|\s+", " ", part) for part in shown]


def test_a_verdict_stands_with_its_reason_and_what_to_do(config, good):
    path, folder = config("bad")
    files.write_text(folder / "transfer/gate.json", "{}")
    figures, found = judge(lost(residual(good)))
    files.write_json(folder / "report/summary.json", figures)
    waiting, row = told(path)
    assert figures["verdict"]["state"] == "not good"
    reasons = figures["verdict"]["reasons"]
    assert f"{reasons[0]} (and {len(reasons) - 1} more)" in row
    assert "what to do" in waiting
    assert found[0].advice in waiting


@pytest.mark.parametrize(("lines", "waits"), [("ingest:\n  gap: 1", True), ("", False)])
def test_of_volumes_to_look_at_those_wait_that_have_lines_to_copy(config, lines, waits):
    path, folder = config("fly")
    files.write_text(folder / "transfer/gate.json", "{}")
    need = {"stage": "ingest", "what": "a gap", "where": "z 4", "advice": "add", "command": ""}
    verdict = {"state": "look", "reasons": ["ingest: z 4: a gap"]}
    document = {"verdict": verdict, "needs": [need | {"lines": lines}]}
    files.write_json(folder / "report/summary.json", document)
    waiting, row = told(path)
    assert ("gap: 1" in waiting, "Nothing waits." in waiting) == (waits, not waits)
    assert "look here ingest: z 4: a gap" in " ".join(row.split())


def test_a_volume_at_work_says_how_far_it_is_and_waits_for_nobody(config):
    path, folder = config("fly")
    claim(folder)
    running.write(folder, "volume", News(999_990.0, "match", 12, 40, 0.31, 7200.0))
    files.write_text(folder / "review/tiles.tsv", "x")
    old = folder / "logs/solve_transforms/all.log"
    files.write_text(old, ERROR)
    os.utime(old, (1, 1))  # of the run before
    waiting, row = told(path)
    assert "Nothing waits." in waiting
    assert "… at work at work: match, 12 of 40, 31%, 2.0 h left" in " ".join(row.split())
    assert "not reached" not in waiting
    verdict = {"state": "good", "reasons": []}
    files.write_json(folder / "report/summary.json", {"verdict": verdict})
    assert "✓ good … at work" in " ".join(told(path)[1].split())


def test_a_run_that_was_ended_waits_for_somebody_to_start_it_again(config):
    path, folder = config("fly")
    files.write_text(folder / "transfer/gate.json", "{}")
    waiting, row = told(path)
    assert "no run is at work; ingest comes next" in waiting
    assert "– stopped" in row


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
