"""Jobs: the last record of a log is the message that a person must see."""

import errno
import logging
import sqlite3
from types import SimpleNamespace

import pytest

from scripts.lib.job import UserError, job, remember_needs
from scripts.terminal.failures import last_message


@pytest.fixture(autouse=True)
def _root_logger():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for each in set(root.handlers) - set(handlers):
        each.close()
    root.handlers, root.level = handlers, level


def ended_by(tmp_path, error):
    """Run a job that raises; give what the end of the run would say."""
    path = tmp_path / "job.log"
    resources = SimpleNamespace(mem_mb=3000)
    made = SimpleNamespace(rule="x", log=[str(path)], wildcards={}, resources=resources)
    with pytest.raises(SystemExit) as stop, job(made):
        raise error
    assert stop.value.code == 1
    return last_message(path.read_text())


def test_a_fault_of_the_config_is_told_as_it_is(tmp_path):
    assert ended_by(tmp_path, UserError("a: expected 1\nfound 2")) == "a: expected 1\nfound 2"


def test_a_message_with_lines_for_the_config_names_the_command_that_puts_them_in(tmp_path):
    said = ended_by(tmp_path, UserError("z 3 is odd\n\nzcorr:\n  accept_layers: [3]"))
    assert said.startswith("z 3 is odd\n\nzcorr:\n  accept_layers: [3]\n\n")
    assert "scripts.lib.paste" in said


def test_a_full_disk_is_named_with_path_space_and_key(tmp_path):
    said = ended_by(tmp_path, OSError(errno.ENOSPC, "No space", str(tmp_path / "a.h5")))
    assert said.startswith(f"{tmp_path / 'a.h5'}: No space left on device (")
    assert "GB are free there" in said
    assert "work_dir" in said


def test_a_full_disk_is_named_with_what_the_volume_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLUME_NEEDS", "")
    remember_needs("up to 9.0 GB")
    said = ended_by(tmp_path, OSError(errno.ENOSPC, "No space", str(tmp_path / "a.h5")))
    assert "GB are free there; the volume needs up to 9.0 GB). Free some space" in said


def caused(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError("4096 requested and 1024 written"),  # numpy
        RuntimeError("Unable to sync file (file write failed: errno = 28, error message = '…')"),
        OSError("[Errno 28] Unable to write: errno = 122"),
        ValueError("Error writing 's0/0': [source locations='…'] os_error_code='28'"),
        sqlite3.OperationalError("database or disk is full"),
        caused(ValueError("I/O operation on closed file"), OSError(errno.ENOSPC, "No space")),
    ],
    ids=lambda error: str(error)[:20],
)
def test_a_full_disk_is_told_in_whatever_words_a_library_has_for_it(tmp_path, error):
    said = ended_by(tmp_path, error)
    assert "GB are free there" in said
    assert "fault of the workflow" not in said


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_closed_disk_is_named_with_path_and_key(tmp_path, number):
    said = ended_by(tmp_path, OSError(number, "closed", str(tmp_path / "a.h5")))
    assert said.startswith(f"{tmp_path / 'a.h5'}: ")
    assert "work_dir" in said
    assert "free" not in said


def test_memory_that_is_used_up_is_told_with_the_amount_planned(tmp_path):
    said = ended_by(tmp_path, MemoryError("Unable to allocate 9 GiB"))
    assert "out of memory, planned with 3000 MB (Unable to allocate 9 GiB)" in said
    assert "x:mem_mb=" in said


def test_another_error_is_a_fault_of_the_workflow_and_its_traceback_is_in_the_log(tmp_path):
    said = ended_by(tmp_path, KeyError("z"))
    assert said == "A fault of the workflow itself, not of the config: KeyError: 'z'"
    assert "Traceback (most recent call last)" in (tmp_path / "job.log").read_text()
