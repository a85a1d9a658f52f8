"""The tracking issue: text, steps, column; written through a stub of the API on this computer."""

import dataclasses
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from scripts.lib import files
from scripts.lib.job import UserError
from scripts.report import board, issue, places, publish_issue, published
from tests.report.conftest import NAMES, judge

SECRET = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
BODY = "by a person\r\n\r\n<!-- volume fly: begin -->\r\nold\r\n<!-- volume fly: end -->\r\nmore"
STAGES = ("ingest", "match", "solve", "zcorr", "export")


@pytest.fixture
def api():
    """A stub of the API: the issue, what was asked, and how it answers."""
    state = {"body": BODY, "asked": [], "code": 200, "headers": {}}

    class Api(BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            state["asked"].append((self.command, self.path, self.headers["Authorization"], sent))
            if sent and state["code"] == 200:
                state["body"] = sent["body"]
            self.send_response(state["code"])
            for name, value in state["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps({"body": state["body"]}).encode())

        do_GET = do_PATCH = answer

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state["url"] = f"http://127.0.0.1:{server.server_address[1]}"
    yield state
    server.shutdown()
    server.server_close()


def section(stub, **other):
    return {"repository": "lab/volumes", "issue": 7, "api": stub["url"], "timeout_s": 5} | {
        "publish": False
    } | other  # fmt: skip


def figures(*reached, steps=()):
    found = {stage: {"status": "good" if stage in reached else "absent"} for stage in STAGES}
    return found | {"correct": {"status": "good", "steps": dict.fromkeys(steps, {})}}


@pytest.fixture
def publish(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "issue.md").write_text("## fly\n\nnew\n\n### Workflow\n\nolder\n")
    files.write_json(tmp_path / "summary.json", figures("ingest", "solve", steps=["destreak"]))
    outputs = {"record": str(tmp_path / "p.json"), "shown": str(tmp_path / "p.txt")}

    def run(tracking):
        publish_issue.main(
            text="issue.md", summary="summary.json", outputs=outputs, tracking=tracking,
            volume="fly", imaging=False,
        )  # fmt: skip
        return files.read_json(outputs["record"]), (tmp_path / "p.txt").read_text()

    return run


def test_without_being_asked_nothing_is_written(api, publish):
    record, shown = publish(section(api))
    assert record["state"].startswith("not written; to write it set tracking.publish: true")
    assert [asked[0] for asked in api["asked"]] == ["GET"]
    assert "+## fly" in shown
    assert "-old" in shown
    assert api["body"] == BODY


def test_only_what_stands_between_the_marks_is_written(api, publish, monkeypatch):
    monkeypatch.setenv(published.TOKEN, SECRET)
    record, _ = publish(section(api, publish=True))
    assert record["state"] == "written"
    assert api["asked"][1][:2] == ("PATCH", "/repos/lab/volumes/issues/7")
    assert api["asked"][1][2] == f"Bearer {SECRET}"
    before, _, rest = api["body"].partition("<!-- volume fly: begin -->\n")
    part, _, after = rest.partition("\n<!-- volume fly: end -->")
    assert (before, after) == ("by a person\n\n", "\nmore")
    assert part.startswith("## fly\n\nnew\n\n### Workflow\n\nBoard: Advanced Processing.")
    assert "- [x] 05 streak correction done" in part
    assert "older" not in part
    assert publish(section(api, publish=True))[0]["state"] == "nothing to change"
    assert [asked[0] for asked in api["asked"]] == ["GET", "PATCH", "GET"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(401, "is not valid"), (403, "may not write"), (404, "no such"), (500, "500")],
)
def test_the_token_is_in_no_message_log_or_file(
    api, publish, monkeypatch, caplog, tmp_path, code, words
):
    monkeypatch.setenv(published.TOKEN, SECRET)
    caplog.set_level(logging.DEBUG)
    publish(section(api, publish=True))
    api["code"] = code
    with pytest.raises(UserError, match=words) as caught:
        publish(section(api, publish=True))
    everything = caplog.text + str(caught.value) + "".join(map(str, caught.value.__dict__.items()))
    everything += "".join(path.read_text() for path in tmp_path.iterdir())
    assert SECRET not in everything


def test_the_token_follows_no_redirect(api, publish, monkeypatch):
    monkeypatch.setenv(published.TOKEN, SECRET)
    api["code"], api["headers"] = 302, {"Location": f"{api['url']}/elsewhere"}
    with pytest.raises(UserError, match="302"):
        publish(section(api, publish=True))
    assert len(api["asked"]) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repository": None}, r"tracking\.repository is not set"),
        ({"issue": None}, r"tracking\.issue is not set"),
        ({"api": "http://api.example.org"}, "expected https"),
        ({"publish": True}, "GITHUB_TOKEN is not set"),
        ({"api": "http://127.0.0.1:9"}, "no answer"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_written(
    api, publish, monkeypatch, change, words
):
    monkeypatch.delenv(published.TOKEN, raising=False)
    with pytest.raises(UserError, match=words):
        publish(section(api, **change))
    assert api["body"] == BODY


def test_a_volume_that_is_not_there_yet_is_put_at_the_end():
    body = published.merged("text\n", "new", "ant")
    assert body == "text\n\n<!-- volume ant: begin -->\nnew\n<!-- volume ant: end -->\n"
    assert published.merged("", "a\\1", "ant").startswith("<!-- volume ant: begin -->\na\\1\n")
    assert published.merged(body, "newer", "ant").count("volume ant") == 2


@pytest.mark.parametrize("body", ["<!-- volume a: begin -->", "<!-- volume a: end -->",
                                  "<!-- volume a: end --><!-- volume a: begin -->"])  # fmt: skip
def test_marks_that_do_not_fit_are_left_to_a_person(body):
    with pytest.raises(UserError, match="mend them by hand"):
        published.merged(body, "x", "a")


def test_the_column_follows_the_volume(tmp_path):
    def column(*reached, imaging=False):
        return board.column(figures(*reached), tmp_path, imaging=imaging)

    assert column(imaging=True) == board.IMAGING
    assert column("ingest") == board.ASSEMBLY
    assert column("ingest", "solve") == board.ADVANCED
    assert column("ingest", "solve", "export", imaging=True) == board.REVIEW
    for path, expected in ((board.PROMOTED, board.DONE), (board.REMOVED, board.CLEANED)):
        files.write_text(tmp_path / path, "")
        assert column("ingest", "solve", "export") == expected


def test_labels_are_those_of_the_steps_that_ran(tmp_path):
    found = board.labels(
        figures("ingest", "solve", steps=["destreak", "intensity"]), tmp_path, imaging=True
    )
    done = [label for label, held in found if held]
    assert [label[:2] for label in done] == ["00", "01", "02", "05", "06"]


def test_paths_are_those_that_others_can_follow(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    render = {"owner": "o", "project": "p"}
    facts = places.facts(run[2], render, NAMES | {"archive_root": "/archive/fly"})
    assert (facts.raw, facts.work_dir) == ("/archive/fly", str(tmp_path))
    assert places.facts(run[2], render, NAMES).raw == f"{tmp_path}/h5/raw"
    assert not facts.hidden
    assert list(facts.neuroglancer) == ["n5"]
    volume = json.loads(json.dumps(run[2].documents["volume"]))
    for target in volume["targets"]:
        target["neuroglancer"]["link"] = (
            "https://viewer/#!%22n5%3A%2F%2Fhttp%3A%2F%2F127.0.0.1%3A8080"
        )
    documents = {**run[2].documents, "volume": volume}
    facts = places.facts(dataclasses.replace(run[2], documents=documents), render, NAMES)
    assert facts.neuroglancer == {}  # they lead to this computer
    assert facts.hidden
    found, rows = judge(run[2])[0], []
    assert "export.data_url leads to one computer alone" in issue.issue(found, rows, [], facts)
