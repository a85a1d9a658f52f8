"""A row a volume: what it does, how far it is, what it waits for."""

import os
import socket
import sys

import pytest
import yaml

from scripts.lib import files, running
from scripts.lib.running import News
from scripts.report import status, volumes, watched

NOW = 1_000_000.0
VALID = yaml.safe_load((volumes.ROOT / "config/config.yaml").read_text())
ERROR = "2026-01-01 00:00:00,000 ERROR job: {}\n"


@pytest.fixture
def volume(tmp_path):
    """Make the config of a volume with its folder; give both."""

    def make(name):
        folder = tmp_path / f"work of {name}"
        folder.mkdir()
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(VALID | {"volume": name, "work_dir": str(folder)}))
        return path, folder

    return make


def claim(folder, part="volume", **other):
    me = {"host": socket.gethostname(), "pid": os.getpid(), "started": running.started("self")}
    files.write_json(folder / running.CLAIMS / f"{part}.json", me | other)


def news(folder, *said, part="volume", at=NOW - 30, left_s=7200.0):
    running.write(folder, part, News(at, "match", 12, 40, 0.31, left_s, said))


def test_a_run_at_work_says_how_far_it_is_and_the_time_left(volume):
    path, folder = volume("fly")
    claim(folder)
    news(folder)
    found = status.read(path, NOW)
    assert found.cells == ["fly", "at work", "match", "12 of 40, 31%", "2.0 h", ""]


def test_a_transfer_beside_the_rest_is_named_and_so_is_silence(volume):
    path, folder = volume("fly")
    claim(folder)
    claim(folder, "transfer")
    news(folder, at=NOW - 3600, left_s=1800.0)
    found = status.read(path, NOW)
    assert found.state == "at work (volume, transfer)"
    assert (found.left, found.waits) == ("0 min", "no news for 60 min")


def test_a_run_that_began_does_not_show_the_news_of_the_one_before(volume):
    path, folder = volume("fly")
    claim(folder)
    news(folder, "✗ solve failed")
    assert status.read(path, NOW).cells == ["fly", "at work", "", "", "", ""]


def test_a_gate_waits_and_an_error_has_stopped_the_run(volume):
    gate, folder = volume("gate")
    files.write_text(folder / "transfer/gate.json", "{}")
    files.write_text(folder / "logs/check_gate/gate.log", ERROR.format("two parts\nreview:"))
    torn, folder = volume("torn")
    files.write_text(folder / "logs/match_pairs/0001.log", ERROR.format("tile is torn"))
    found = [status.read(path, NOW) for path in (gate, torn)]
    assert [one.state for one in found] == ["waits", "stopped"]
    assert [one.waits for one in found] == [
        "the gate of the review (check_gate): two parts",
        "match_pairs: tile is torn",
    ]
    assert found[0].stage == "ingest"


def test_news_of_a_run_of_an_older_version_are_read(volume):
    path, folder = volume("fly")
    claim(folder)
    news(folder)
    kept = folder / running.NEWS / "volume.json"
    old = files.read_json(kept)
    files.write_json(kept, {name: old[name] for name in old if name != "command"})
    assert status.read(path, NOW).done == "12 of 40, 31%"


def test_a_killed_run_is_no_run_at_work(volume):
    path, folder = volume("fly")
    files.write_text(folder / "transfer/gate.json", "{}")
    claim(folder, started="before the boot")
    found = status.read(path, NOW)
    assert (found.state, found.waits) == ("stopped", "the run of volume was killed")


def test_finished_and_new_volumes_and_configs_that_cannot_be_read(volume, tmp_path):
    path, folder = volume("done")
    verdict = {"state": "look", "reasons": ["a seam of 3 px"]}
    files.write_json(folder / "report/summary.json", {"verdict": verdict})
    new, _ = volume("new")
    broken = tmp_path / "broken.yaml"
    broken.write_text("volume: x\n")
    rows = [status.read(each, NOW) for each in (path, new, broken)]
    assert [row.state for row in rows] == ["finished", "not begun", "refused"]
    assert rows[0].waits == "look: a seam of 3 px"
    gone = status.read(tmp_path / "gone.yaml", NOW).waits
    assert gone == "its config cannot be read: (No such file or directory)"
    assert [row.name for row in status.ordered(rows)] == ["broken", "new", "done"]


def refusal(folder, *said, at=NOW):
    running.write(folder, "volume", News(at, "", 0, 0, 0.0, None, said, refused=True))


def test_a_start_that_was_refused_says_why_until_the_next_one(volume, tmp_path):
    path, folder = volume("fly")
    os.utime(path, (1, 1))
    faults = (
        "✗ 2 fault(s) known before anything is done:",
        "  note: x",
        "  error: a: b",
        "  error: c",
    )
    refusal(folder, *faults)
    found = status.watched_closely(path, status.read(path, NOW))
    assert found.cells == ["fly", "refused", "", "", "", "a: b (and 1 more)"]
    assert found.message.splitlines() == [*faults]
    row = volumes.read(path)
    assert (row.waits, row.verdict) == ("refused: a: b (and 1 more)", "look")
    assert "a: b (and 1 more)" in status.page([found], NOW, None)
    refusal(folder, "✗ the folder is locked by another run")
    assert status.read(path, NOW).waits == "the folder is locked by another run"
    running.write(folder, "doctor", News(NOW + 1, "", 1, 1, 1.0, None, ("✓ doctor is done",)))
    assert status.read(path, NOW).state == "not begun"
    refusal(folder, *faults, at=NOW + 2)
    claim(folder)
    assert status.read(path, NOW).state == "at work"


def test_a_config_that_every_start_refuses_is_told_unless_a_run_has_read_it(volume):
    path, folder = volume("fly")
    path.write_text(path.read_text().replace("rows:", "rowz:"))
    assert "acquisition.rowz: unknown key" in status.read(path, NOW).message
    assert status.read(path, NOW).state == "refused"
    files.write_text(folder / "logs/check_gate/gate.log", ERROR.format("two parts"))
    assert status.read(path, NOW).state == "refused"  # edited at a gate
    news(folder, "✗ stopped", at=path.stat().st_mtime + 1)  # with another config file beside it
    assert status.read(path, NOW).state == "waits"
    files.write_text(folder / "report/summary.json", "{}")
    assert status.read(path, NOW).state == "waits"


def test_volumes_that_have_not_begun_share_a_line_beside_others():
    done, b, a = (
        status.Status("done", "finished"),
        status.Status("b", "not begun"),
        status.Status("a", "not begun"),
    )
    assert status.lines([b, done, a])[1:] == ["done    finished", "not begun: a, b"]
    assert [line.split()[0] for line in status.lines([b, done])[1:]] == ["b", "done"]
    assert [line.split()[0] for line in status.lines([b, a])[1:]] == ["a", "b"]


def test_what_one_volume_waits_for_is_told_whole():
    long = status.Status("a", status.WAITS, waits="w" * 300)
    assert status.lines([long])[1].endswith("w" * 300)
    assert status.lines([long], 80)[1].endswith("w" * 300)


def test_reasons_are_cut_on_a_terminal_alone_which_then_says_so():
    long = status.Status("a", status.WAITS, waits="w" * 300)
    assert all(line.endswith("w" * 300) for line in status.lines([long, long])[1:])
    cut = status.lines([long, long], 90)
    assert len(cut[1]) == 90
    assert cut[1].endswith("ww…")
    assert cut[-1].startswith("… is cut")
    assert len(status.lines([long, long], 20)[1].split()[-1]) == 40  # however narrow it is
    assert status.lines([long, long], 1000) == status.lines([long, long])


def test_chunks_say_how_far_a_stopped_run_has_come(volume):
    path, folder = volume("fly")
    for name in ("transfer/gate.json", "match/results/cross/0000.tsv.gz"):
        files.write_text(folder / name, "x")
    files.write_table(folder / "ingest/chunks.tsv", ["chunk"], [{"chunk": c} for c in "012"])
    found = status.read(path, NOW)
    assert found.cells[1:4] == ["stopped", "match", "1 of 3 chunks"]
    assert found.waits == "no run is at work; match comes next"


def test_the_command_prints_a_table_and_writes_a_page(volume, tmp_path, capsys, monkeypatch):
    path, folder = volume("fly <1>")
    claim(folder)
    news(folder)
    monkeypatch.setattr(sys, "argv", ["status"])
    assert status.main([str(path), "--html", str(tmp_path / "s.html")]) == 0
    first, row = capsys.readouterr().out.splitlines()
    assert first.split()[:3] == ["volume", "state", "stage"]
    assert row.startswith("fly <1>  at work  match  12 of 40, 31%")
    text = (tmp_path / "s.html").read_text()
    assert "fly &lt;1&gt;" in text
    assert "refresh" not in text
    assert '<meta http-equiv="refresh" content="60">' in status.page([], NOW, 60.0)


def test_a_volume_is_shown_stage_by_stage(volume, tmp_path, capsys):
    path, folder = volume("fly")
    claim(folder)
    stages = {"transfer": (4, 4), "match": (3, 40)}
    told = News(
        NOW, "match", 7, 44, 0.2, 60.0, (), "snakemake", stages, ("match_pairs cross 0001",)
    )
    running.write(folder, "volume", told)
    files.write_text(folder / "logs/convert_layers/0000.log", ERROR.format("disk full\nmend it"))
    files.write_table(folder / "benchmarks/match_pairs/a.tsv", ["s"], [{"s": 1800}, {"s": "-"}])
    files.write_json(folder / "estimate/history.json", [{"jobs_done": 0, "core_hours": 2.5}])
    files.write_text(folder / "report/so_far.html", "x")
    page = tmp_path / "s.html"
    assert status.main([str(path), "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = "transfer 4 of 4 failed: convert_layers: disk full"
    assert " ".join(lines[2].split()) == told
    assert " ".join(lines[3].split()) == "match 3 of 40 running: match_pairs cross 0001"
    text = page.read_text()
    assert "0.5 h of jobs so far; estimated at first: 2.5 core-hours" in text
    assert 'href="work of fly/report/so_far.html"' in text
    assert '<a href="#volume-fly">fly</a>' in text
    assert "match_pairs cross 0001" in text


def test_a_run_that_is_over_runs_nothing_and_a_gate_shows_its_lines(volume):
    path, folder = volume("fly")
    files.write_text(folder / "transfer/gate.json", "{}")
    files.write_text(
        folder / "logs/check_gate/gate.log", ERROR.format("two parts\nreview:\n  a: 1")
    )
    told = News(NOW, "review", 7, 44, 0.2, 60.0, ("x",), "", {"review": (1, 2)}, ("check_gate",))
    running.write(folder, "volume", told)
    row = status.watched_closely(path, status.read(path, NOW))
    assert [one.running for one in row.stages] == [""]
    assert row.stages[0].failed == "the gate of the review (check_gate): two parts"
    assert row.message == "two parts\nreview:\n  a: 1"
    text = status.page([row], NOW, 30)
    assert "<pre>two parts\nreview:\n  a: 1</pre>" in text
    assert "loads itself again every 30 s" in text


def test_the_error_of_an_earlier_run_is_none_of_the_run_at_work(volume):
    path, folder = volume("fly")
    log = folder / "logs/check_gate/gate.log"
    files.write_text(log, ERROR.format("two parts"))
    os.utime(log, (NOW - 500, NOW - 500))
    claim(folder)
    news(folder)
    assert status.read(path, NOW).waits == ""


def test_every_rule_has_a_stage():
    assert watched.stage_of("match_pairs") == "match"
    assert watched.stage_of("plan_chunks") == "ingest"
    assert watched.stage_of("promote_part") == "finish"
    assert watched.stage_of("gone") == ""


def test_a_volume_that_was_only_looked_at_has_not_begun(volume):
    path, folder = volume("fly")
    for job in ("examine_volume", "estimate_volume"):
        files.write_text(folder / f"logs/{job}/volume.log", "looked\n")
    assert status.read(path, NOW).state == status.NEW
    files.write_text(folder / "logs/plan_transfer/plan.log", "began\n")
    assert status.read(path, NOW).state == status.STOPPED


def test_the_page_links_to_that_of_the_imaging(volume):
    config, folder = volume("fly")
    assert status.read(config, NOW).imaging is None
    files.write_text(folder / "preview/imaging.html", "")
    assert (folder / "preview/imaging.html").as_uri() in status.page(
        [status.read(config, NOW)], NOW, None
    )
