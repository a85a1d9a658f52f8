"""Looking at a volume while layers still arrive: only what is new is rendered."""

import re
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from scripts.lib import files
from scripts.lib.volumes import multiscale
from scripts.lib.volumes.multiscale import Target
from tests.workflow.conftest import executed, make_volume

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

TILES = 4
SETTINGS = {
    "slab_layers": 4,
    "block_zyx_px": [4, 32, 32],
    "step_px": 2,
    "formats": ["n5", "zarr"],
}


@dataclass(frozen=True)
class Growth:
    """The volume, and per run: rules that ran, and the files below preview/ afterwards."""

    volume: object
    ran: list
    seen: list


@pytest.fixture(scope="module")
def growth(acquisition, tmp_path_factory):
    """Six layers, then the same, then a seventh and an eighth, then all ten."""
    folder = tmp_path_factory.mktemp("preview")
    arriving = folder / "arriving"
    arriving.mkdir()
    volume = make_volume(folder / "volume", arriving, preview=SETTINGS)
    dats = sorted(acquisition.rglob("*.dat"))
    ran, seen = [], []
    for layers in (6, 6, 8, 10):
        for dat in dats[: layers * TILES]:
            if not (arriving / dat.name).exists():
                shutil.copy2(dat, arriving / dat.name)
        done = volume.snakemake("preview")
        assert done.returncode == 0, done.stdout
        ran.append(executed(done))
        seen.append(volume.files("preview/**/*"))
    return Growth(volume, ran, seen)


def voxels(growth, level, format_="n5"):
    document = files.read_json(growth.volume.work / "preview/volume.json")
    (one,) = [each for each in document["targets"] if each["format"] == format_]
    target = Target(format_, str(growth.volume.work / one["path"]), "", "gzip", 1)
    store = multiscale.open_level(target, level)
    return store.read(tuple(slice(0, n) for n in store.shape_zyx))


def test_a_second_look_at_the_same_layers_does_nothing(growth):
    assert growth.ran[1] == []


def test_a_new_layer_renders_the_unfinished_slab_alone(growth):
    assert growth.ran[0].count("render_preview") == 2
    assert growth.ran[2].count("render_preview") == 1
    assert growth.ran[3].count("render_preview") == 1  # the slab of eight layers was full


def test_finished_slabs_and_their_blocks_are_never_written_again(growth):
    finished = "preview/slabs/0000.json"
    assert growth.seen[0][finished] == growth.seen[3][finished]
    blocks = [path for path in growth.seen[0] if re.search(r"zarr/.*/s0/0/\d+/\d+$", path)]
    assert blocks
    assert {path: growth.seen[3][path] for path in blocks} == {
        path: growth.seen[0][path] for path in blocks
    }


def test_the_grown_preview_equals_one_made_at_once(growth, acquisition, tmp_path):
    at_once = make_volume(tmp_path, acquisition, preview=SETTINGS)
    done = at_once.snakemake("preview")
    assert done.returncode == 0, done.stdout
    levels = files.read_json(growth.volume.work / "preview/volume.json")["levels"]
    for one in levels:
        here = voxels(growth, one["level"])
        there = voxels(Growth(at_once, [], []), one["level"])
        assert np.array_equal(here, there)
        assert np.array_equal(here, voxels(growth, one["level"], "zarr"))
        assert here.any()
    assert levels[0]["shape_zyx"][0] == 10


def test_the_preview_freezes_no_number_of_the_volume(growth):
    assert not (growth.volume.work / "ingest/layers.tsv").exists()


def test_no_stage_after_ingest_takes_part(growth):
    rules = {rule for ran in growth.ran for rule in ran}
    assert not rules & {"match_pairs", "solve_transforms", "number_layers", "publish_acquire"}


def test_lost_blocks_are_named_with_what_to_do(growth, tmp_path):
    work = growth.volume.work
    lost = sorted(work.glob("preview/*.n5/em/fibsem-uint8/s0/0/0/0"))[0]
    shutil.move(lost, tmp_path / "block")
    done = growth.volume.snakemake("preview", "--forcerun", "close_preview")
    shutil.move(tmp_path / "block", lost)
    assert done.returncode != 0
    assert "Remove the folder preview/ and start the same command again" in done.stdout


def test_the_dry_run_of_the_whole_volume_does_not_list_the_preview(growth):
    done = growth.volume.snakemake("--dry-run")
    assert "preview" not in done.stdout.partition("Job stats:")[2].partition("\n\n")[0]


def test_a_pyramid_that_failed_half_way_is_made_again(growth):
    """Snakemake puts the former one back, which then looks newer than all it is made of."""
    pyramid = growth.volume.work / "preview/pyramid.json"
    former = pyramid.read_text()
    pyramid.write_text("{")  # the job cannot read it, and fails
    (growth.volume.work / "preview/slabs/0002.json").unlink()
    # where all inputs come back byte for byte, Snakemake rightly keeps a record that is there
    (growth.volume.work / "preview/volume.json").unlink(missing_ok=True)
    failed = growth.volume.snakemake("preview")
    assert failed.returncode != 0
    assert "build_preview" in executed(failed)
    pyramid.write_text(former)
    done = growth.volume.snakemake("preview")
    assert done.returncode == 0, done.stdout
    assert {"build_preview", "close_preview"} <= set(executed(done))
    assert (growth.volume.work / "preview/volume.json").exists()
