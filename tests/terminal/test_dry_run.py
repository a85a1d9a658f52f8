"""A look at a volume: a mirror of links, which leaves the volume as it was and goes in the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.terminal import dry_run

ROOT = Path(__file__).resolve().parents[2]


def tree(folder):
    """Every path of a folder with its time, mode and content: what a byte for byte look sees."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.relative_to(folder).as_posix()] = (status.st_mtime_ns, status.st_mode, content)
    return found


@pytest.fixture
def volume(tmp_path):
    """A folder as a run leaves it, with the records that a dry run needs and its cache."""
    work = tmp_path / "work"
    for path in ("match/pairs.tsv", "top.json", ".snakemake/metadata/a", ".snakemake/iocache/b"):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path)
        os.utime(work / path, ns=(5, 7))
    return work


def test_a_mirror_shows_all_files_with_their_times_and_no_cache(volume, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    before = tree(volume)
    dry_run.mirror(volume, mirror)
    for path in ("match/pairs.tsv", "top.json", ".snakemake/metadata/a"):
        assert (mirror / path).read_text() == path
        assert (mirror / path).lstat().st_mtime_ns == 7
    assert not (mirror / ".snakemake/iocache").exists()
    assert tree(volume) == before


def test_the_mirror_of_a_missing_folder_is_empty(tmp_path):
    dry_run.mirror(tmp_path / "missing", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == [".snakemake"]


@pytest.mark.workflow
@pytest.mark.parametrize("argv", [("--dry-run",), ("--summary",)], ids=" ".join)
def test_a_look_at_a_new_volume_leaves_the_tree_byte_for_byte(tmp_path, argv):
    """The whole folder of the project's user: config, data, temporary files."""
    for name in ("dat", "tmp"):
        (tmp_path / name).mkdir()
    config = tmp_path / "volume.yaml"
    config.write_text(
        f"volume: v\nwork_dir: {tmp_path}/deep/work\nrender: {{owner: o, project: p}}\n"
        "acquisition: {rows: 1, columns: 1, pixel_nm: 8, z_nm: 8}\n"
        f"transfer: {{dat_root: {tmp_path}/dat, scope: {{host: null, root_dat_path: {tmp_path},"
        f" keep_path: {tmp_path}/dat, data_set_id: d}}}}\n"
    )
    before = tree(tmp_path)
    where = ("--profile", "profiles/local", "--configfile", str(config))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *argv, *where],
        cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}, text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "plan_transfer" in done.stdout or "transfer/plan.tsv" in done.stdout
    after = tree(tmp_path)
    # the folder for temporary files is as empty as it was, though it was used
    assert {k: v for k, v in after.items() if k != "tmp"} == {
        k: v for k, v in before.items() if k != "tmp"
    }
