"""Messages at the end of a run: by command, mail and web hook, to stubs on this computer."""

import json
import re
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts.lib import gates, schema, yaml_files
from scripts.terminal import notify
from scripts.terminal.notify import FAILED, FINISHED, GATE, Message

SCHEMA = yaml_files.read(Path(__file__).parents[2] / "config/schema.yaml")["properties"]["notify"]
MESSAGE = Message("fly", FINISHED, ["✓ good", "report: r/index.html"])


def section(**given):
    """Section ``notify`` with its defaults."""
    assert schema.faults(given, SCHEMA) == []
    schema.fill_defaults(given, SCHEMA)
    return given


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def hook(got, code=200):
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            got.append((self.path, json.loads(self.rfile.read(length))))
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_):
            pass

    return HTTPServer(("127.0.0.1", 0), Hook)


def mailbox(got):
    class Mailbox(socketserver.StreamRequestHandler):
        """The commands of a mail that a server has to know (RFC 5321)."""

        def handle(self):
            self.say("220 stub")
            while line := self.rfile.readline().decode().strip():
                got.append(line)
                if line.upper() == "DATA":
                    self.say("354 go on")
                    while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        got.append(line)
                self.say("221 bye" if line.upper() == "QUIT" else "250 ok")

        def say(self, text):
            self.wfile.write(f"{text}\r\n".encode())

    return socketserver.TCPServer(("127.0.0.1", 0), Mailbox)


def test_nothing_is_sent_unless_a_way_is_given(monkeypatch):
    monkeypatch.delenv(notify.WEBHOOK, raising=False)
    assert list(notify._ways(section())) == []
    assert notify.send(MESSAGE, section()) == []


def test_a_command_gets_the_message_and_its_names(tmp_path):
    out = tmp_path / "with blank"
    command = f"cat > '{out}'; echo \"$VOLUME|$EVENT|$SUBJECT\" >> '{out}'"
    assert notify.send(MESSAGE, section(command=command)) == []
    text = out.read_text()
    assert text.startswith("fly is finished: ✓ good\n\n✓ good\nreport: r/index.html\n")
    assert text.endswith("fly|finished|fly is finished: ✓ good\n")


def test_a_web_hook_gets_json():
    got = []
    with serving(hook(got)) as port:
        sent = notify.send(MESSAGE, section(webhook=f"http://127.0.0.1:{port}/a"))
    assert sent == []
    ((path, content),) = got
    assert path == "/a"
    assert content["event"] == "finished"
    assert content["volume"] == "fly"
    assert "report: r/index.html" in content["text"]


def test_the_address_of_the_environment_rules(monkeypatch):
    got = []
    with serving(hook(got)) as port:
        monkeypatch.setenv(notify.WEBHOOK, f"http://127.0.0.1:{port}/secret")
        assert notify.send(MESSAGE, section(webhook="http://127.0.0.1:1/never")) == []
    assert [path for path, _ in got] == ["/secret"]


def test_a_mail_goes_to_all_addresses(monkeypatch):
    monkeypatch.delenv(notify.USER, raising=False)
    got = []
    with serving(mailbox(got)) as port:
        mail = {
            "to": ["a@x.org", "b@x.org"],
            "sender": "c@x.org",
            "host": "127.0.0.1",
            "port": port,
        }
        assert notify.send(MESSAGE, section(email=mail)) == []
    text = "\n".join(got)
    assert "RCPT TO:<a@x.org>" in text.upper().replace("A@X.ORG", "a@x.org")
    assert "To: a@x.org, b@x.org" in text
    assert "fly is finished" in text


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"command": "echo no such list >&2; exit 3"}, "status 3: no such list"),
        ({"command": "sleep 5", "timeout_s": 1}, "longer than notify.timeout_s, 1 s"),
        ({"webhook": "http://127.0.0.1:1/secret"}, "refused"),
        ({"email": {"to": ["a@x"], "sender": "b@x", "host": "127.0.0.1", "port": 1}}, "refused"),
    ],
    ids=["command", "slow command", "web hook", "mail"],
)
def test_what_cannot_be_sent_is_a_remark_without_secrets(monkeypatch, ways, said):
    monkeypatch.delenv(notify.WEBHOOK, raising=False)
    (remark,) = notify.send(MESSAGE, section(**ways))
    assert said in remark
    assert "secret" not in remark
    assert remark.startswith(f"notify.{next(iter(ways))}: the message was not sent (")


def test_a_server_that_refuses_is_a_remark():
    with serving(hook([], 403)) as port:
        (remark,) = notify.send(MESSAGE, section(webhook=f"http://127.0.0.1:{port}/secret"))
    assert "403" in remark
    assert "secret" not in remark


def test_events_that_are_not_asked_for_are_not_told(tmp_path):
    out = tmp_path / "x"
    told = section(command=f"touch {out}", events=[FAILED])
    assert notify.send(MESSAGE, told) == []
    assert not out.exists()


@pytest.mark.parametrize(
    ("rules", "event"),
    [
        ({"check_gate"}, GATE),
        ({"check_gate", "match_pairs"}, FAILED),
        ({"solve_transforms"}, FAILED),
        (set(), FAILED),
    ],
)
def test_a_gate_is_no_failure(rules, event):
    assert notify.event_of(rules) == event


def test_every_gate_is_a_rule():
    rules = "".join(
        path.read_text() for path in (Path(__file__).parents[2] / "rules").glob("*.smk")
    )
    found = set(re.findall(r"^(?:rule|checkpoint) (\w+):", rules, re.MULTILINE))
    assert set(gates.GATES) <= found


def test_a_gate_is_told_in_words_with_its_cause():
    said = ["✗ the gate of the review (check_gate) waits …", "the volume is in two parts"]
    assert Message("fly", GATE, said, {"check_gate"}).subject == (
        "fly waits for a person at the gate of the review (check_gate): the volume is in two parts"
    )


def test_a_long_message_is_cut():
    text = Message("fly", GATE, [f"line {k}" for k in range(500)]).text
    assert text.count("\n") < 70
    assert text.startswith("fly waits for a person at a gate: line 0\n")
