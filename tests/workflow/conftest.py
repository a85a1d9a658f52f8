"""A tiny acquisition, and Snakemake runs on it that the tests of this folder share."""

import base64
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.workflow import prepared

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 900
# what wildcards, URLs, shells, YAML and ASCII stumble over: every volume of these tests lies in it
NASTY = "my vol {x} (ü) it's #1 20%FBS?"
# 2 x 2 tiles with the defects of the demo (one corrupt tile, a resin corner), ten layers
ACQUISITION = [
    *("--layers", "10", "--tile", "160", "176", "--seed", "7"),
    *("--resin-layers", "2", "--corrupt-layer", "4", "--restart-layer", "7"),
]
MASKED_PX = 3  # at the left of every tile of the volume with a history
HOLE = slice(40, 52)  # rows and columns that a picture hides in one tile of it, at z = 3
# small chunks, so that every stage fans out into several jobs
SMALL = {
    "correct": {"steps": ["straighten"]},  # other steps have their own tests
    "chunks": {"layers": 5},
    "transfer": {"layers_per_job": 5},
    "export": {"block_zyx_px": [5, 64, 64]},
}


def executed(done):
    """Rules of the jobs that a run's terminal shows, in the order they ended; failed ones last."""
    ended = re.findall(r"^\d\d:\d\d:\d\d +\d+ %  \w+ +(\w+)", done.stdout, re.MULTILINE)
    stops = r"^✗ (?:.*\((?=\w+\) waits)|(?:\d+ jobs of )?(?=.* failed))(\w+)"
    return ended + re.findall(stops, done.stdout, re.MULTILINE)


@dataclass(frozen=True)
class Volume:
    """A volume's config and folder, and the way to run Snakemake on it."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "volume.yaml"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def change(self, section, **values) -> None:
        """Change keys of a section of the config."""
        config = yaml.safe_load(self.config.read_text())
        config[section] = config.get(section, {}) | values
        self.config.write_text(yaml.safe_dump(config))

    def command(self, *argv, profile="profiles/local", starter=("-m", "snakemake")):
        shared = ("--profile", profile, "--configfile", str(self.config))
        return [sys.executable, *starter, *argv, *shared]

    def snakemake(self, *argv, environment=None, **how):
        """Run to the end from the project's folder; give code and the text of both streams."""
        # the fake clusters are this host
        env = os.environ | {"RENDER_WS_ONE_HOST": "1"} | (environment or {})
        if not how:
            # command: python -m snakemake <arguments>
            return prepared.server().run(
                self.command(*argv)[3:], cwd=ROOT, env=env, timeout=LIMIT_S
            )
        return subprocess.run(
            self.command(*argv, **how),
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )

    def files(self, pattern="**/*") -> dict[str, tuple[int, bytes]]:
        """Relative path -> (time of the last write, content) of the working directory's files."""
        found = [path for path in self.work.glob(pattern) if path.is_file()]
        return {
            path.relative_to(self.work).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
            for path in found
            if ".snakemake" not in path.parts
        }

    def unfinished(self) -> set[str]:
        """Outputs of jobs that had begun and not ended, by Snakemake's own marks."""
        marks = (self.work / ".snakemake/incomplete").rglob("*")
        names = (mark.name for mark in marks if mark.is_file())
        return {base64.urlsafe_b64decode(name).decode() for name in names}

    def finished(self, pattern) -> list[str]:
        """Files that match `pattern` and whose jobs have ended."""
        found = {path.relative_to(self.work).as_posix() for path in self.work.glob(pattern)}
        return sorted(found - self.unfinished())

    def run_and_kill(self, when) -> None:
        """Start the whole workflow, and kill Snakemake and its jobs as soon as `when` holds."""
        with (self.folder / "killed.log").open("w") as log:
            process = subprocess.Popen(
                self.command(), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + LIMIT_S
        try:
            while not when():
                assert process.poll() is None, (self.folder / "killed.log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def make_volume(folder: Path, acquisition: Path, /, **sections) -> Volume:
    """Write the config of the demo volume, made small, for another folder."""
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for section, values in (SMALL | sections).items():
        config[section] = config.get(section, {}) | values
    config["work_dir"] = str(folder / "work")
    demo_dat = Path(config["transfer"]["dat_root"]).name
    dat = acquisition / demo_dat if (acquisition / demo_dat).is_dir() else acquisition
    config["transfer"]["dat_root"] = str(dat)
    if config.get("report", {}).get("truth"):
        config["report"]["truth"] = str(acquisition / "truth.json")
    folder.mkdir(parents=True, exist_ok=True)
    volume = Volume(folder)
    volume.config.write_text(yaml.safe_dump(config))
    return volume


@pytest.fixture(scope="session")
def acquisition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acquisition") / NASTY
    argv = [sys.executable, "-m", "scripts.demo.acquire", str(folder), *ACQUISITION]
    subprocess.run(argv, cwd=ROOT, check=True, timeout=LIMIT_S)
    return folder


@pytest.fixture(scope="session")
def new_volume(acquisition, tmp_path_factory):
    """Make a fresh volume of the tiny acquisition; sections of the config as keywords."""

    def make(name, **sections):
        return make_volume(tmp_path_factory.mktemp(name) / NASTY, acquisition, **sections)

    return make


@dataclass(frozen=True)
class History:
    """What one volume went through, in order; the tests look at it from many sides."""

    volume: Volume
    dry: subprocess.CompletedProcess
    ingest: subprocess.CompletedProcess
    after_ingest: dict
    after_kill: dict
    resumed: subprocess.CompletedProcess
    after_resume: dict
    again: subprocess.CompletedProcess


def hole(path):
    """Paint a mask; give the entry of the config that hides it in one tile."""
    values = np.full((160, 176), 255, np.uint8)
    values[HOLE, HOLE] = 0
    Image.fromarray(values).save(path)
    return {"row": 0, "column": 0, "z_first": 3, "z_last": 3, "image": str(path)}


@pytest.fixture(scope="session")
def history(new_volume):
    """One volume: listed, run up to a stage, run and killed, resumed, run again."""
    volume = new_volume("history")
    volume.change("ingest", mask=[{"left_px": MASKED_PX}, hole(volume.folder / "hole.png")])
    dry = volume.snakemake("--dry-run")
    ingest = volume.snakemake("ingest")
    after_ingest = volume.files()
    # two chunks of matches are there, others are not: the moment to pull the plug
    volume.run_and_kill(lambda: len(volume.finished("match/results/*/*.tsv.gz")) >= 2)
    unfinished = volume.unfinished()
    after_kill = {path: seen for path, seen in volume.files().items() if path not in unfinished}
    # a kill leaves Snakemake's own lock behind, on purpose: it cannot know that nobody runs
    volume.snakemake("--unlock")
    resumed = volume.snakemake()
    after_resume = volume.files()
    again = volume.snakemake()
    return History(volume, dry, ingest, after_ingest, after_kill, resumed, after_resume, again)
