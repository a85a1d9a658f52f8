"""Two volumes that are half done elsewhere, gone on from: the same as made from scratch."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from scripts.lib import files
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import digest_tiles
from tests.workflow.conftest import Volume, executed

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

MADE_ELSEWHERE = {"convert_layers", "infer_z", "correlate_layers"}


def state(folder):
    """Path -> size and time of all that lies in a folder, Snakemake's own records aside.

    The database's -wal and -shm come and go with whoever reads it, also just after a run's end.
    """
    found = (p for p in Path(folder).rglob("*") if ".snakemake" not in p.parts)
    kept = [p for p in found if not p.name.endswith(("-wal", "-shm"))]
    return {p: (p.lstat().st_size, p.lstat().st_mtime_ns) for p in kept}


def content(database):
    """All that the service holds of the other's project: versions and tiles of stacks, matches."""
    client = RenderClient("demo", "demo", base_url=f"sqlite:///{database}")
    stacks = {
        name: (client.stack_metadata(name), digest_tiles(client.tiles(name)))
        for name in client.stacks()
    }
    matches = {
        name: list(client.match_lists(name, client.p_groups(name)))
        for name in ("demo_v1", "demo_v1_review")
    }
    client.close()
    return stacks, matches


@dataclass(frozen=True)
class Gone:
    """A volume that went on from another one's files: what ran, and both folders."""

    volume: Volume
    run: object
    source: Path

    def json(self, name):
        return json.loads((self.volume.work / name).read_text())

    def same(self, name):
        return (self.volume.work / name).read_bytes() == (self.source / name).read_bytes()

    def voxels(self):
        """Relative path -> bytes of the blocks of full resolution, in either folder.

        Lower levels are made slab by slab, and this volume is one slab.
        """
        out = []
        for work in (self.source, self.volume.work):
            each = [*work.glob("*.n5/em/*/s0/**/*"), *work.glob("*.zarr/*/em/*/s0/**/*")]
            blocks = [p for p in each if p.is_file() and re.fullmatch(r"\d+", p.name)]
            out.append({p.relative_to(work).as_posix(): p.read_bytes() for p in blocks})
        return out


def go_on(history, folder, takeover, **sections):
    config = yaml.safe_load(history.volume.config.read_text())
    config |= {"work_dir": str(folder / "work"), "takeover": takeover, "chunks": {"layers": 10}}
    del config["transfer"]
    volume = Volume(folder)
    volume.config.write_text(yaml.safe_dump(config | sections))
    return volume


def has_all_that_the_source_has(gone):
    source, own = gone.voxels()
    assert len(source) > 20
    assert own == source
    assert gone.same("solve/transforms.json.gz")
    assert gone.same("zcorr/Zcoords.txt")


@pytest.fixture(scope="module")
def of_files(history, tmp_path_factory):
    """Align HDF5 alone are there."""
    source = history.volume.work
    volume = go_on(
        history, tmp_path_factory.mktemp("of_files"), {"align_h5": str(source / "h5/align")}
    )
    before = state(source)
    run = volume.snakemake("export")  # the report is that of the other one
    assert run.returncode == 0, run.stdout
    assert state(source) == before
    return Gone(volume, run, source)


def test_from_align_files_alone_comes_the_same_volume(of_files):
    assert not set(executed(of_files.run)) & {"convert_layers"}
    assert not list(of_files.volume.work.glob("h5/**/*.h5"))
    assert of_files.json("takeover/align.json")["tiles"] == 39
    has_all_that_the_source_has(of_files)


def test_promotion_and_cleaning_leave_the_other_s_files_alone(of_files, tmp_path):
    before = state(of_files.source)
    moved = of_files.volume.snakemake(
        "promote", "--config", f"export={{promote_root: '{tmp_path}'}}"
    )
    assert moved.returncode == 0, moved.stdout
    assert executed(moved) == ["promote_volume"]
    listed = of_files.volume.snakemake("cleanup_listing")
    assert listed.returncode != 0
    assert "nothing is removed" in listed.stdout
    assert state(of_files.source) == before


@pytest.fixture(scope="module")
def of_service(history, tmp_path_factory):
    """Align HDF5, matches and an aligned stack in another service, and Zcoords.txt are there."""
    source, folder = history.volume.work, tmp_path_factory.mktemp("of_service")
    database = folder / "service.db"
    shutil.copy(source / "render-ws.db", database)
    render = {"owner": "demo", "project": "go_on"}
    theirs = {
        "url": f"sqlite:///{database}",
        "project": "demo",
        "matches": "demo_v1",
        "stack": "v1_acquire_trimmed_align",
    }
    takeover = {
        "align_h5": str(source / "h5/align"),
        "zcoords": str(source / "zcorr/Zcoords.txt"),
        "render": theirs,
    }
    volume = go_on(history, folder, takeover, render=render, review={})
    before, rows = state(source), content(database)
    refused = volume.snakemake("solve")
    config = yaml.safe_load(volume.config.read_text())
    line = re.search(r"review\.patch, add: (\{.*\})", refused.stdout)
    config["review"]["patch"] = [yaml.safe_load(line[1])]
    volume.config.write_text(yaml.safe_dump(config))
    dry = volume.snakemake("-n")
    run = volume.snakemake()
    assert run.returncode == 0, run.stdout
    assert state(source) == before
    assert content(database) == rows
    return Gone(volume, run, source), refused, dry


def test_a_patched_tile_of_the_stack_is_asked_for_with_its_line(of_service):
    _, refused, _ = of_service
    assert refused.returncode != 0
    assert "1 patch(es) are missing in review.patch" in refused.stdout


def test_a_dry_run_shows_what_is_left(of_service):
    _, _, dry = of_service
    jobs = dry.stdout.partition("Job stats:")[2].partition("\n\n")[0]
    assert "solve_transforms" in jobs
    assert not {name for name in MADE_ELSEWHERE if name in jobs}


def test_from_matches_and_transforms_of_a_service_comes_the_same_volume(of_service):
    gone, *_ = of_service
    assert not set(executed(gone.run)) & MADE_ELSEWHERE
    has_all_that_the_source_has(gone)
    assert gone.json("report/summary.json")["solve"]["status"] == "good"
    matches, stack = gone.json("takeover/matches.json"), gone.json("takeover/stack.json")
    summary = files.read_table(gone.volume.work / "match/summary.tsv")
    taken = [int(row["saved"]) for row in summary if row["stage"] == "taken_over"]
    assert sum(taken) == matches["pairs_of_the_volume"] == matches["pairs"]
    assert (stack["tiles"], stack["patches"]) == (40, 1)
    assert gone.json("zcorr/gate.json") == {"status": "taken over"}
