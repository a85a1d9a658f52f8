"""`snakemake transfer` on a small microscope: what runs, what does not, and what a person reads."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from scripts.lib.files import read_table
from tests.transfer.scopes import DATA_SET, Microscope, dat_bytes, dat_name
from tests.workflow.conftest import executed

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 600
pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("transfer_workflow")]


class Session:
    """One volume, acquired bit by bit, and Snakemake runs on it."""

    def __init__(self, folder):
        self.scope = Microscope(folder / "scope")
        self.work = folder / "work"
        self.archive = folder / "archive"
        self.dats = folder / "dat"
        self.config = folder / "volume.yaml"
        transfer = {
            "dat_root": str(self.dats),
            "layers_per_job": 2,
            "archive_root": str(self.archive),
            "remove_dats": True,
            "free_space_gb": 0,
            "scope": {
                "root_dat_path": str(self.scope.images),
                "keep_path": str(self.scope.flags),
                "data_set_id": DATA_SET,
            },
        }
        self.config.write_text(
            yaml.safe_dump(
                {
                    "volume": "small",
                    "work_dir": str(self.work),
                    "render": {"owner": "demo", "project": "small"},
                    "acquisition": {"rows": 1, "columns": 1, "pixel_nm": 8, "z_nm": 8},
                    "transfer": transfer,
                }
            )
        )

    def acquire(self, *layers):
        for i in layers:
            self.scope.acquire(dat_name(i), dat_bytes(i))

    def command(self, *argv):
        shared = ("--profile", "profiles/local", "--configfile", str(self.config))
        return [sys.executable, "-m", "snakemake", "transfer", *argv, *shared]

    def run(self, *argv):
        return subprocess.run(
            self.command(*argv),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )

    def jobs(self, *argv):
        """Run, and give exit status and the rules in the order they ended, or would begin."""
        done = self.run(*argv)
        listed = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", done.stdout, re.MULTILINE)
        rules = executed(done) + listed
        return done.returncode, [rule for rule in rules if rule != "transfer"], done.stdout

    def layers(self):
        return read_table(self.work / "transfer/layers.tsv")


CLOSING = ["close_transfer", "check_transfer"]
BATCH = ["convert_layers", "archive_layers"]
ALL = ["copy_dats", "plan_transfer", *BATCH, *CLOSING]


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = Session(tmp_path_factory.mktemp("transfer"))
    made.acquire(0, 1, 2)
    return made


def test_a_session_at_the_microscope(session):
    # the parts build on each other, and each run takes seconds: one test, told as a story
    code, rules, _ = session.jobs("--dry-run")
    assert (code, set(rules)) == (0, {"copy_dats", "plan_transfer", *CLOSING})

    code, rules, text = session.jobs()
    assert (code, set(rules)) == (0, set(ALL)), text
    assert rules.count("convert_layers") == 2
    assert [row["archived"] for row in session.layers()] == ["1", "1", "1"]
    assert not list(session.dats.rglob("*.dat"))

    # nothing new: nothing to do, although every .dat and flag is gone
    code, rules, text = session.jobs()
    assert (code, rules) == (0, []), text

    # a new layer: only its chunk is worked on
    session.acquire(3)
    code, rules, text = session.jobs()
    assert (code, sorted(rules)) == (0, sorted(ALL)), text

    # a flag without a file is named while the new layer is done; every further run tries again
    session.acquire(4)
    session.scope.flag(dat_name(9)).touch()
    code, rules, text = session.jobs()
    assert (code, sorted(rules)) == (1, sorted(ALL)), text
    assert "a flag without a file" in text
    assert [row["status"] for row in session.layers()] == ["ok"] * 5 + ["failed"]
    code, rules, _ = session.jobs("--dry-run")
    assert (code, rules[:2], rules[-1]) == (0, ["copy_dats", "plan_transfer"], "check_transfer")
    session.acquire(9)
    assert session.jobs()[0] == 0

    # a lost align file is made anew from the archive, alone
    name = f"{dat_name(0).rsplit('_', 1)[0]}.uint8.h5"
    (lost,) = session.work.rglob(name)
    before = lost.read_bytes()
    lost.unlink()
    code, rules, text = session.jobs()
    assert (code, sorted(rules)) == (0, sorted(["plan_transfer", *BATCH, *CLOSING])), text
    assert lost.read_bytes() == before
    assert session.jobs("--dry-run")[:2] == (0, [])


def test_a_killed_run_is_completed_by_the_next(tmp_path):
    session = Session(tmp_path)
    session.acquire(*range(8))
    process = subprocess.Popen(
        session.command(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + LIMIT_S
    while not list(session.archive.rglob("*.h5")) and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    session.run("--unlock")
    code, _, text = session.jobs()
    assert code == 0, text
    assert [row["archived"] for row in session.layers()] == ["1"] * 8
    assert session.scope.waiting() == []
    assert session.jobs("--dry-run")[:2] == (0, [])
