"""The news of a run that was refused, and of one that began."""

import io
import logging

from scripts.lib import running
from scripts.terminal.handler import Planned, Terminal
from scripts.terminal.progress import Progress


def news_after(tmp_path, monkeypatch, *records):
    """What a run leaves that ends with an error after `records`."""
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(io.StringIO(), Progress({}), lambda: Planned({}, {}, {}))
    terminal.part = "volume"
    for fields in (*records, {"levelno": logging.ERROR, "msg": "pixel_nm: expected 80"}):
        terminal.emit(logging.makeLogRecord(fields))
    terminal.failed(tmp_path, "")
    (run,) = running.read(tmp_path)
    return run.news


def test_an_error_before_the_first_job_is_a_refusal(tmp_path, monkeypatch):
    news = news_after(tmp_path, monkeypatch)
    assert news.refused
    assert list(news.said) == ["✗ pixel_nm: expected 80"]


def test_an_error_of_a_run_that_began_is_none(tmp_path, monkeypatch):
    job = {"event": "job_info", "rule_name": "a", "jobid": 1, "wildcards": {}, "log": []}
    assert not news_after(tmp_path, monkeypatch, job | {"resources": {}}).refused
