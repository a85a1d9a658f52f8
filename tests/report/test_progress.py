"""Reports at any point of a run: what stopped it, what is done, what is to do."""

import dataclasses
import os

import pytest

from scripts.lib import files
from scripts.lib.service.errors import ServiceUnreachable
from scripts.report import gather, page, progress, report_so_far, whole
from tests.report.conftest import LIMITS, NAMES

STAMP = "2024-03-07 10:11:12,345"
GATE = "2 clusters, expected 1\nreview:\n  max_clusters: 2"
FULL = NAMES | {"runs": 3}


def write_log(root, name, *records, at=1):
    path = root / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{STAMP} {record}\n" for record in records))
    os.utime(path, (at, at))


def test_the_last_error_is_told_first_with_all_its_lines(tmp_path):
    write_log(tmp_path, "infer_z/all.log", "INFO job: rule", "ERROR job: old", at=5)
    write_log(tmp_path, "check_gate/gate.log", "INFO job: rule", f"ERROR job: {GATE}", at=9)
    write_log(tmp_path, "check_layers/a.log", "ERROR x: tried", "INFO job: done in 1 s", at=10)
    first, second = progress.stops(tmp_path)
    assert (first.rule, first.message, first.log) == (
        "check_gate",
        GATE,
        "logs/check_gate/gate.log",
    )
    assert first.headline == "the gate of the review (check_gate): 2 clusters, expected 1"
    assert second.message == "old"


@pytest.mark.parametrize(
    ("message", "rest"),
    [
        ("off:\n  z 4\nMend it\nreview:\n  x", "Mend it\nreview:\n  x"),
        ("off:\n  z 4. And z 5\nMend it", "off:\n  z 4. And z 5\nMend it"),
        ("off by 3. Mend it", "Mend it"),
    ],
)
def test_what_the_headline_says_is_not_said_again(message, rest):
    stop = progress.Stop("check_alignment", message, "a.log")
    assert stop.rest == rest


def test_jobs_that_failed_alike_are_one_and_a_traceback_is_its_last_line(tmp_path):
    trace = "ERROR job: rule failed\nTraceback (most recent call last):\n  File\nKeyError: 'z'"
    for k in range(200):
        write_log(tmp_path, f"match_pairs/cross/{k:04d}.log", trace)
    (only,) = progress.stops(tmp_path)
    assert only.jobs == 200
    assert only.message == "rule failed\nKeyError: 'z'"
    assert only.headline == "match_pairs (200 jobs): rule failed"


def test_a_log_that_another_tool_wrote_stops_nothing(tmp_path):
    (tmp_path / "logs/a").mkdir(parents=True)
    (tmp_path / "logs/a/b.log").write_bytes(b"\xff\xfe no record\n")
    assert progress.stops(tmp_path) == []


def test_the_fingerprint_changes_with_any_job_but_that_of_the_report_itself(tmp_path):
    write_log(tmp_path, "infer_z/all.log", "INFO job: rule")
    before = progress.fingerprint(tmp_path)
    write_log(tmp_path, "report_so_far/report.log", "INFO job: rule")
    assert progress.fingerprint(tmp_path) == before
    write_log(tmp_path, "infer_z/all.log", "INFO job: rule", at=7)
    assert progress.fingerprint(tmp_path) != before


def test_chunks_are_counted_by_stage(tmp_path):
    for name in ("match/results/cross/0000.tsv.gz", "match/results/montage/0000.tsv.gz"):
        files.write_table(tmp_path / name, ["a"], [])
    assert progress.chunks_done(tmp_path, 0, 2) == {}
    assert progress.chunks_done(tmp_path, 3, 2)["match"] == (2, 6)
    assert progress.chunks_done(tmp_path, 3, 2)["export"] == (0, 3)


@pytest.fixture
def so_far(inside, monkeypatch, tmp_path):
    def run(root, service):
        monkeypatch.setattr(report_so_far, "RenderClient", lambda *_: service)
        inside(root)
        outputs = {name: str(tmp_path / name) for name in ("page", "summary")}
        report_so_far.main(
            outputs=outputs, render={"owner": "o", "project": "p"}, names=FULL, limits=LIMITS,
            truth_path=None, dat_root=str(tmp_path), asked={},
        )  # fmt: skip
        return (tmp_path / "page").read_text(), files.read_json(outputs["summary"])

    return run


class Unreachable:
    def z_values(self, _stack):
        raise ServiceUnreachable("render.url")


def test_a_volume_that_nothing_was_done_for_has_a_report(so_far, tmp_path_factory):
    html, figures = so_far(tmp_path_factory.mktemp("fresh"), Unreachable())
    assert figures["verdict"]["state"] in ("absent", "good")
    assert "No log ends with an error." in html
    assert html.count("<td>to do</td>") == 8


def test_a_closed_gate_stands_first_with_its_lines(so_far, run, tmp_path_factory):
    root = tmp_path_factory.mktemp("stopped")
    for part in ("ingest", "transfer", "review", "match"):
        (root / part).symlink_to(run[0] / part)
    write_log(root, "check_gate/gate.log", f"ERROR job: {GATE}")
    html, figures = so_far(root, Unreachable())
    body = html.partition("<h1>")[2]
    headline, _, lines = GATE.partition("\n")
    assert headline in body
    assert body.index(f"<pre>{lines}</pre>") < body.index("then type") < body.index('id="next"')
    assert "Not aligned yet" in body
    assert figures["stopped"] == [
        {"rule": "check_gate", "message": GATE, "log": "logs/check_gate/gate.log"}
    ]
    assert 'aria-current="page">Report so far' in html


def test_an_unreachable_service_costs_the_pictures_of_an_unfinished_run_alone(run):
    made = whole.report(run[2], Unreachable(), names=FULL, limits=LIMITS, so_far=True)
    assert "Tiles: " in made.page
    with pytest.raises(ServiceUnreachable):
        whole.report(run[2], Unreachable(), names=FULL, limits=LIMITS)


def test_a_review_whose_gate_is_not_open_is_not_merely_to_do(run):
    evidence = dataclasses.replace(gather.gather(run[0], results=[]), finished=frozenset())
    _, table = page.how_far(evidence, [], {})
    states = {row[0]: row[1] for row in table.parts[0].rows}
    assert states["Review"] == "its gate is not open"
    assert states["Match"] == "to do"


def test_a_stage_whose_gate_stopped_the_run_is_not_done(run):
    evidence = gather.gather(run[0], results=[])
    stop = progress.Stop("check_thickness", "layers correlate badly", "a.log")
    _, table = page.how_far(evidence, [stop], {})
    states = {row[0]: row[1] for row in table.parts[0].rows}
    assert states["Z correction"] == "its gate is not open"
    assert states["Review"] == "done"


def test_what_is_prepared_before_the_gate_waits_for_it(run):
    evidence = dataclasses.replace(gather.gather(run[0], results=[]), finished=frozenset())
    _, table = page.how_far(evidence, [], {"solve": (1, 1), "export": (0, 1)})
    states = {row[0]: row[1:] for row in table.parts[0].rows}
    assert states["Solve"] == ["prepared; waits for the gate of the review", "1 of 1"]
    assert states["Export"] == ["to do", "0 of 1"]


def test_stages_are_done_begun_or_to_do(run):
    evidence = gather.gather(run[0], results=[])
    _, table = page.how_far(evidence, [], {"solve": (2, 3), "zcorr": (0, 3)})
    states = {row[0]: row[1:] for row in table.parts[0].rows}
    assert states["Ingest"] == ["done", ""]
    assert states["Solve"] == ["begun", "2 of 3"]
    assert states["Z correction"] == ["done", "0 of 3"]
    assert states["Match"] == ["to do", ""]
