"""The last line: what a run that ended says, and that nothing of Snakemake's own comes after it."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.workflow import prepared
from tests.workflow.conftest import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]
LIMIT_S = 120
MOST_LINES = 15
OF_SNAKEMAKE = ("Traceback", "Exiting because", "Shutting down", "Complete log", "RuleException")

# a workflow of its own, because each fault has to be quick: the same console, other jobs
SNAKEFILE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from scripts.terminal.console import Console
CONSOLE = Console(workflow)
rule all:
    input: expand("{{n}}.out", n=range(config.get("jobs", 1)))
rule work:
    output: "{{n}}.out"
    log: "logs/{{n}}.log"
    resources: mem_mb=700
    script: "work.py"
onstart: CONSOLE.start()
OF_IT = {{"volume": "small", "notify": {{"events": ["finished", "failed", "gate"], "email": None,
          "webhook": None, "timeout_s": 20, "command": config.get("command")}}}}
onsuccess: CONSOLE.succeeded(OF_IT)
onerror: CONSOLE.failed(log, OF_IT)
"""
SCRIPT = """
from pathlib import Path
from scripts.lib.job import UserError, job
with job(snakemake):
    DOES
"""


class Small:
    """A workflow of one rule, whose job does one thing."""

    def __init__(self, folder, does):
        self.folder = folder
        (folder / "Snakefile").write_text(SNAKEFILE)
        (folder / "work.py").write_text(SCRIPT.replace("DOES", does))

    def command(self, *argv):
        return [sys.executable, "-m", "snakemake", "--cores", "2", "--latency-wait", "1", *argv]

    def run(self, *argv):
        command = self.command(*argv)[3:]  # without python -m snakemake
        return prepared.server().run(command, cwd=self.folder, timeout=LIMIT_S)


def ended(done):
    """Lines of the last message, after the checks that hold for every failed run."""
    assert done.returncode != 0, done.stdout
    lines = done.stdout.rstrip("\n").splitlines()
    assert len(lines) <= MOST_LINES, done.stdout
    assert not [word for word in OF_SNAKEMAKE if word in done.stdout], done.stdout
    begin = max(n for n, line in enumerate(lines) if not line)
    return lines[begin + 1 :]


def test_a_fault_of_the_config_is_told_once_with_its_log(tmp_path):
    lines = ended(Small(tmp_path, "raise UserError('a.b: expected 1, found 2')").run())
    assert lines[:3] == [
        "✗ work 0 failed",
        "a.b: expected 1, found 2",
        f"log: {tmp_path}/logs/0.log",
    ]
    (rest,) = lines[3:]
    assert os.path.exists(rest.removeprefix("all that ran: "))  # noqa: PTH110


def test_eight_alike_failures_are_one_message(tmp_path):
    small = Small(tmp_path, "raise UserError(f'no answer for {snakemake.wildcards.n}')")
    lines = ended(small.run("--keep-going", "--config", "jobs=8"))
    assert re.fullmatch(r"✗ 8 jobs of work failed \(\d, \d, \d, …\)", lines[0])
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "memory runs out: it was planned with 700 MB"),
        ("raise MemoryError('9 GiB')", "out of memory, planned with 700 MB (9 GiB)"),
        ("1 / 0", "A fault of the workflow itself, not of the config: ZeroDivisionError"),
    ],
    ids=["killed", "memory", "fault"],
)
def test_every_end_of_a_job_is_told_in_words(tmp_path, does, words):
    lines = ended(Small(tmp_path, does).run())
    assert lines[0] == "✗ work 0 failed"
    assert words in " ".join(lines[1:])


def test_an_output_that_is_missing_is_named(tmp_path):
    lines = ended(Small(tmp_path, "pass").run())
    assert lines[0].startswith("✗ work ended well and left no 0.out. Missing files after 1 seconds")
    assert len(lines) == 2


def test_a_second_start_counts_what_the_first_one_has_done(tmp_path):
    does = """if int(snakemake.wildcards.n) > 3 and not Path("again").exists():
        raise UserError("not yet")
    Path(snakemake.output[0]).touch()"""
    small, many = Small(tmp_path, does), ("--keep-going", "--config", "jobs=6")
    first = small.run(*many)
    (tmp_path / "again").touch()
    second = small.run(*many)
    assert second.returncode == 0, second.stdout
    shares, counts = zip(
        *re.findall(r" (\d+) %  Snakefile +work \d +(\d of \d)", first.stdout + second.stdout),
        strict=True,
    )
    assert counts == tuple(f"{n} of 6" for n in range(1, 7))
    assert list(map(int, shares)) == sorted(map(int, shares))


def test_a_job_that_failed_and_was_repeated_is_no_failure(tmp_path):
    does = "Path(snakemake.output[0]).touch() if Path('tried').exists() else Path('tried').touch()"
    done = Small(tmp_path, does).run("--retries", "1")
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout
    assert "work 0" in done.stdout


def test_verbose_gives_snakemake_s_own_words(tmp_path):
    done = Small(tmp_path, "Path(snakemake.output[0]).touch()").run("--verbose")
    assert "rule work:" in done.stdout


@pytest.mark.parametrize(("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_run_that_was_stopped_says_so_and_goes_on_next_time(tmp_path, number, group):
    does = "Path('begun').touch(); __import__('time').sleep(3); Path(snakemake.output[0]).touch()"
    small = Small(tmp_path, does)
    process = subprocess.Popen(
        # one job at a time: a second one, still importing, would tell of its own interruption
        small.command("--cores", "1", "--config", "jobs=5"),
        cwd=tmp_path, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    end = time.monotonic() + LIMIT_S
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    (os.killpg if group else os.kill)(process.pid, number)
    text, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode != 0
    assert "Stopped as asked. The same command goes on from here." in text
    assert not [word for word in (*OF_SNAKEMAKE, "✗") if word in text], text
    again = small.run("--rerun-incomplete", "--config", "jobs=1")
    assert again.returncode == 0, again.stdout


def test_a_service_that_cannot_be_reached_is_one_line_with_its_key_before_any_job(new_volume):
    volume = new_volume("unreachable")
    away = {"RENDER_WS_URL": "http://127.0.0.1:9/render-ws/v1", "RENDER_WS_PATIENCE_S": "0"}
    assert volume.snakemake("transfer").returncode == 0
    done = volume.snakemake("ingest", "--keep-going", environment=away)
    lines = done.stdout.rstrip("\n").splitlines()
    (told,) = [line for line in lines if "error: render.url: expected an answer" in line]
    assert "no answer from http://127.0.0.1:9" in told
    assert "RENDER_WS_URL" in told
    assert len(lines) <= MOST_LINES, done.stdout
    assert not re.search(r"^\d\d:\d\d:\d\d ", done.stdout, re.MULTILINE)
    assert volume.snakemake("transfer", environment=away).returncode == 0


def test_a_stage_ends_with_what_it_made_and_the_next_command(new_volume):
    volume = new_volume("stage")
    done = volume.snakemake("transfer")
    lines = done.stdout.rstrip("\n").splitlines()
    assert lines[-2] == f"✓ transfer is done: {volume.work / 'transfer/layers.tsv'}"
    assert re.fullmatch(
        r"next: snakemake ingest --profile profiles/local --configfile .*", lines[-1]
    )
    jobs = [line for line in lines if re.match(r"\d\d:\d\d:\d\d ", line)]
    shares = [int(re.search(r"(\d+) %", line)[1]) for line in jobs]
    assert shares == sorted(shares)
    counts = [re.search(r"convert_layers \d+ +(\d of \d)", line) for line in jobs]
    assert [each[1] for each in counts if each] == ["1 of 2", "2 of 2"], done.stdout


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--config", "slove={a: 1}"), ["slove: unknown key", "nearest known key is solve"]),
        (("nosuchtarget",), ["There is no target nosuchtarget"]),
    ],
)
def test_a_run_that_cannot_begin_says_why_and_nothing_else(new_volume, argv, words):
    lines = ended(new_volume("faulty").snakemake(*argv))
    assert all(word in " ".join(lines) for word in words)
    assert len(lines) <= 2


def test_a_work_dir_that_cannot_be_made_is_named(new_volume, tmp_path):
    (tmp_path / "file").touch()
    volume = new_volume("closed")
    lines = ended(volume.snakemake("--config", f"work_dir={tmp_path}/file/work"))
    assert "work_dir: cannot write" in lines[0]
    assert str(tmp_path) in lines[0]


@pytest.mark.parametrize(
    ("does", "event", "said"),
    [
        ("raise UserError('tile 0-1 is torn')", "failed", "tile 0-1 is torn"),
        ("Path(str(snakemake.output)).touch()", "finished", "small is finished"),
    ],
    ids=["failed", "finished"],
)
def test_the_end_of_a_run_is_told_where_the_config_says(tmp_path, does, event, said):
    small = Small(tmp_path, does)
    # 3 jobs: one message for the run, none of the jobs
    small.run("--keep-going", "--config", "jobs=3", "command='(echo \"$EVENT\"; cat) >> told'")
    lines = (tmp_path / "told").read_text().splitlines()
    assert lines[0] == event
    assert lines.count(event) == 1
    assert any(said in line for line in lines)


def test_a_message_that_cannot_be_sent_changes_no_status(tmp_path):
    done = Small(tmp_path, "Path(str(snakemake.output)).touch()").run(
        "--config", "command='exit 3'"
    )
    assert done.returncode == 0
    assert "notify.command: the message was not sent (it ended with status 3)" in done.stdout
