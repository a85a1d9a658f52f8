"""Weeks of imaging in minutes: twelve waves of layers, over ssh, by a timer that is often killed.

A microscope writes four layers a wave behind a real OpenSSH server on loopback. A timer starts the
transfer again and again; every second run of it is killed with SIGKILL at a random moment, alone or
with its jobs. After every third wave all stages run, beside the timer. Nobody unlocks or mends
anything, and when imaging has ended the volume is that of one run of all files.
"""

import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
import yaml

from scripts.lib.files import read_table
from tests.benchmarks import test_bench_growth as growth
from tests.transfer import test_sshd
from tests.transfer.scopes import DATA_SET, Microscope
from tests.transfer.test_sshd import server  # noqa: F401 - a fixture
from tests.workflow import conftest
from tests.workflow.conftest import ROOT, make_volume

pytestmark = test_sshd.pytestmark
WAVES, OF_WAVE, ALIGNED_EACH = 12, 4, 3  # waves, layers of each, waves between two alignments
SEED, LIMIT_S, PAUSE_S = 3, 3600, 1.0
KILLED_WITHIN_S = 12.0  # of its start: a run that does nothing takes about so long
ACQUISITION = [
    *("--layers", str(WAVES * OF_WAVE), "--grid", "1", "1", "--tile", "200", "208"),
    *("--seed", str(SEED), "--resin-layers", "0", "--corrupt-layer", "0", "--restart-layer", "0"),
]
SECTIONS = {
    "chunks": {"layers": OF_WAVE * ALIGNED_EACH},
    "transfer": {"layers_per_job": OF_WAVE, "quiet_time_s": 0},
    "export": {"block_zyx_px": [6, 64, 64]},
    "report": {"truth": None},
}
REFUSED = "another run is at work on it"


class Timer(threading.Thread):
    """Starts a transfer again and again, and kills some."""

    def __init__(self, volume, rng):
        super().__init__()
        self.volume, self.rng = volume, rng
        self.killed, self.whole, self.refused = 0, 0, 0
        self.failed = []  # what runs said that nobody killed
        self._over = threading.Event()

    def run(self):
        while not self._over.wait(PAUSE_S):
            self._once()

    def stop(self):
        self._over.set()
        self.join()

    def _once(self):
        process = subprocess.Popen(
            self.volume.command("transfer"),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        how = (None, os.kill, None, os.killpg)[(self.killed + self.whole + self.refused) % 4]
        limit_s = LIMIT_S if how is None else float(self.rng.uniform(0.2, KILLED_WITHIN_S))
        try:
            said = process.communicate(timeout=limit_s)[0]
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                (how or os.killpg)(process.pid, signal.SIGKILL)
            process.wait()  # its jobs may hold the pipe
            process.stdout.close()
            self.killed += 1
            return
        self.whole += process.returncode == 0
        self.refused += process.returncode != 0 and REFUSED in said
        if process.returncode != 0 and REFUSED not in said:
            self.failed.append(said)


def make_growing(folder, server):  # noqa: F811
    """A volume whose files come from a microscope behind ssh, and that microscope."""
    keys, port = server
    scope = Microscope(folder / "scope of the lab")
    scope.images.mkdir(parents=True)
    scope.flags.mkdir(parents=True)
    (folder / "dat").mkdir()
    volume = make_volume(folder / "grown", folder / "dat", **SECTIONS)
    config = yaml.safe_load(volume.config.read_text())
    config["acquisition"] |= {"rows": 1, "columns": 1}
    options = ("IdentityFile={}/user", "UserKnownHostsFile={}/known_hosts")
    config["transfer"]["scope"] = {
        "root_dat_path": str(scope.images),
        "keep_path": str(scope.flags),
        "data_set_id": DATA_SET,
        "host": f"{test_sshd.getpass.getuser()}@127.0.0.1",
        "port": port,
        "ssh_options": [
            *(each.format(keys) for each in options),
            "IdentitiesOnly=yes",
            "GlobalKnownHostsFile=/dev/null",
        ],
    }
    volume.config.write_text(yaml.safe_dump(config))
    return volume, scope


def until_there(volume, layers, timer):
    """Wait until the timer's runs have converted so many layers."""
    table, end = volume.work / "transfer/layers.tsv", time.monotonic() + LIMIT_S
    while True:
        with suppress(OSError, ValueError):
            if len(read_table(table)) >= layers:
                return
        assert not timer.failed, timer.failed[0]
        assert time.monotonic() < end, f"{layers} layers did not come"
        time.sleep(0.5)


def aligned(volume):
    """Run all stages; give the CPU seconds of the jobs, and what was said."""
    before = growth.spent(volume)
    done = volume.snakemake()
    assert done.returncode == 0, done.stdout
    after = growth.spent(volume)
    return sum(s for path, (at, s) in after.items() if before.get(path, (0,))[0] != at)


def test_twelve_waves_by_a_timer_that_is_killed_end_with_the_volume_of_one_run(
    bench,
    tmp_path,
    monkeypatch,
    server,  # noqa: F811
):
    if not bench.measuring:
        pytest.skip("twelve waves, six whole runs: make bench")
    monkeypatch.setattr(conftest, "LIMIT_S", LIMIT_S)
    monkeypatch.setattr(growth, "ACQUISITION", ACQUISITION)
    whole = tmp_path / "whole"
    growth.acquire(whole)
    waves = by_wave(whole)
    volume, scope = make_growing(tmp_path, server)
    timer = Timer(volume, np.random.default_rng(SEED))
    work, start = [], time.monotonic()
    timer.start()
    try:
        for number, paths in enumerate(waves, 1):
            for path in paths:
                scope.acquire(path.name, path.read_bytes())
            until_there(volume, number * OF_WAVE, timer)
            if number % ALIGNED_EACH == 0:
                work.append(aligned(volume))
            seconds = time.monotonic() - start
            bench.say(f"wave {number}: {seconds:.0f} s, {timer.killed} killed, {work[-1:]} CPU s")
    finally:
        timer.stop()
    assert not timer.failed, timer.failed[0]
    growth.imaging_ended(volume, waves[-1][-1])
    work.append(aligned(volume))
    one = make_volume(tmp_path / "one", whole, **SECTIONS)
    growth.acquired(one, rows=1, columns=1)
    growth.imaging_ended(one, waves[-1][-1])
    at_once = aligned(one)
    grown, expected = growth.content(volume), growth.content(one)
    differ = [
        path for path in expected.keys() | grown.keys() if expected.get(path) != grown.get(path)
    ]
    bench.row("waves.waves", len(waves), "waves", better="higher", layers=len(waves) * OF_WAVE)
    ends = {"whole": timer.whole, "refused": timer.refused}
    bench.row("waves.killed_transfers", timer.killed, "runs", better="higher", **ends)
    each = {f"after_wave_{ALIGNED_EACH * (k + 1)}": s for k, s in enumerate(work[:-1])}
    bench.row("waves.work_cpu_s", sum(work), "CPU s", better="lower", one_run=at_once, **each)
    bench.row("waves.bytes_differ", len(differ), "files", better="lower", of=len(expected))
    assert len(expected) > 10
    assert differ == []


def by_wave(folder):
    """The microscope's files in order of time, wave by wave."""
    paths = sorted(folder.rglob("*.dat"), key=lambda path: re.findall(r"\d+", path.name))
    return [paths[k : k + OF_WAVE] for k in range(0, len(paths), OF_WAVE)]
