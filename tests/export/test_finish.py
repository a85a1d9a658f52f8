"""After a good export: the volume is renamed to its place; what is not needed goes when told."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.export import (
    destination,
    list_leftovers,
    plan_export,
    promote_volume,
    removable,
    remove_leftovers,
)
from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.volumes import metadata, multiscale
from tests.export.test_export_jobs import plan as plan_again
from tests.export.test_slabs import EXPORT as PLANNED
from tests.export.test_slabs import plan as planned

OF_EXPORTS = ("plans", "volumes")
VOXELS = np.arange(8 * 16 * 32, dtype=np.uint16).reshape(8, 16, 32).astype(np.uint8)


@pytest.fixture
def volume(workdir, monkeypatch):
    """A volume in all formats with one block, and its plan."""
    monkeypatch.setitem(PLANNED, "formats", ["n5", "zarr", "zarr3"])
    (workdir / "finished").mkdir()
    return made("export", "v")


def made(folder, name):
    what = planned()
    targets = tuple(
        replace(t, container=name + t.container.removeprefix("v")) for t in what.targets
    )
    what = replace(what, targets=targets)
    for target in what.targets:
        metadata.create(target, what.spec)
        block = np.zeros((8, 32, 32), np.uint8)
        block[:, :16] = VOXELS
        multiscale.open_level(target, 0).write((slice(0, 8), slice(0, 32), slice(0, 32)), block)
    files.write_json(f"{folder}/plan.json", what.to_json())
    described = [
        {"path": str(target.group), "files": [sum(1 for _ in blocks(target))]}
        for target in what.targets
    ]
    files.write_json(f"{folder}/volume.json", {"targets": described})
    return what


def blocks(target):
    """Files of the blocks of full resolution."""
    return (path for path in target.folder(0).rglob("*") if path.is_file() and path.name.isdigit())


def promote(*parts):
    folders = ["export", *(f"exports/{part}" for part in parts)]
    named = {name: [f"{each}/{name[:-1]}.json" for each in folders] for name in OF_EXPORTS}
    promote_volume.main(**named, out="export/promoted.json", root="finished")


def read(group):
    here = multiscale.Target("n5", str(group.parents[1]), f"em/{group.name}", "gzip", 5)
    return multiscale.open_level(here, 0).read((slice(0, 8), slice(0, 16), slice(0, 32)))


def test_promoting_renames_every_format_and_leaves_links(volume):
    inodes = {t.format: next(t.folder(0).rglob("0")).stat().st_ino for t in volume.targets}
    promote()
    for target in volume.targets:
        to = destination.goal(target, Path("finished"))
        assert target.group.is_symlink()
        assert target.group.resolve() == to.resolve()
        assert next((to / "s0").rglob("0")).stat().st_ino == inodes[target.format]  # no copy
    assert np.array_equal(read(Path("finished/v.n5/em/fibsem-uint8")), VOXELS)
    assert files.read_json("finished/v.n5/attributes.json")["n5"] == "4.0.0"
    assert files.read_json("finished/v.zarr/recon-1/.zgroup") == {"zarr_format": 2}
    assert files.read_json("finished/v.v3.zarr/recon-1/em/zarr.json")["node_type"] == "group"
    first = files.read_json("export/promoted.json")
    promote()  # again: nothing to do
    assert files.read_json("export/promoted.json") == first


def test_a_volume_that_lost_a_block_after_its_check_is_not_promoted(volume):
    """And one that an earlier version closed, which counted none, is."""
    document = files.read_json("export/volume.json")
    target = volume.targets[1]
    lost = next(path for path in blocks(target) if path.is_file())
    lost.unlink()
    with pytest.raises(UserError, match=r"s0: 0 files, 1 when .*Nothing was promoted.*check_slab"):
        promote()
    assert not any(each.group.is_symlink() for each in volume.targets)
    earlier = [{"path": each["path"]} for each in document["targets"]]
    files.write_json("export/volume.json", {"targets": earlier})
    promote()


def test_another_dataset_joins_a_container_that_is_there(volume):
    files.write_json("finished/v.n5/attributes.json", {"n5": "4.0.0", "mine": 1})
    (Path("finished/v.n5/em/fibsem-uint16/s0")).mkdir(parents=True)
    promote()
    assert files.read_json("finished/v.n5/attributes.json")["mine"] == 1
    assert sorted(p.name for p in Path("finished/v.n5/em").glob("fib*")) == [
        "fibsem-uint16",
        "fibsem-uint8",
    ]


def test_what_is_there_is_never_replaced_and_nothing_is_half_done(volume):
    Path("finished/v.v3.zarr/recon-1/em/fibsem-uint8").mkdir(parents=True)
    with pytest.raises(UserError, match=r"finished/v.v3.zarr.*exists already.*Nothing was changed"):
        promote()
    assert not any(target.group.is_symlink() for target in volume.targets)


def test_channels_go_with_the_volume_each_into_its_own_container(volume):
    channel = made("exports/channel_1", "v.channel-1")
    promote()
    assert not any(target.group.is_symlink() for target in channel.targets)
    promote("channel_1")  # a channel that came later joins
    promote("channel_1")
    for target in channel.targets:
        assert target.group.is_symlink()
        assert target.group.resolve() == (Path("finished") / target.group).resolve()
    assert np.array_equal(read(Path("finished/v.channel-1.n5/em/fibsem-uint8")), VOXELS)
    assert len(files.read_json("export/promoted.json")["targets"]) == 6


def test_a_channel_that_cannot_be_renamed_keeps_the_volume_where_it_is(volume):
    channel = made("exports/channel_1", "v.channel-1")
    Path("finished/v.channel-1.zarr/recon-1/em/fibsem-uint8").mkdir(parents=True)
    with pytest.raises(UserError, match=r"v\.channel-1\.zarr.*exists already.*Nothing was changed"):
        promote("channel_1")
    assert not any(t.group.is_symlink() for what in (volume, channel) for t in what.targets)


def test_a_region_is_named_by_its_part_and_never_takes_the_volumes_place(volume):
    part = "region_x0to32_by2"
    region = made(f"exports/{part}", f"exports/{part}/v")
    where = {"out": f"exports/{part}/promoted.json", "root": "finished"}
    named = {name: [f"exports/{part}/{name[:-1]}.json"] for name in OF_EXPORTS}
    promote_volume.main(**named, **where)
    assert not any(target.group.is_symlink() for target in volume.targets)
    promote()
    names = {f"v{part}{end}" for part in ("", f".{part}") for end in (".n5", ".zarr", ".v3.zarr")}
    assert {path.name for path in Path("finished").iterdir()} == names
    with pytest.raises(UserError, match="was promoted"):
        destination.refuse_promoted(region)


def test_an_interrupted_promotion_is_completed(volume):
    target = volume.targets[0]
    to = destination.goal(target, Path("finished"))
    to.parent.mkdir(parents=True)
    target.group.rename(to)
    promote()
    assert target.group.is_symlink()


def test_another_file_system_is_refused(volume, monkeypatch):
    real = Path.stat

    def stat(self, **how):
        found = real(self, **how)
        return type("Stat", (), {"st_dev": -1})() if self.name == "finished" else found

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(Path, "is_dir", lambda self: True)
    with pytest.raises(UserError, match="another file system"):
        destination.check(volume.targets, Path("finished"))


def test_nothing_is_exported_into_a_promoted_volume(volume, monkeypatch):
    promote()
    with pytest.raises(UserError, match=r"v\.n5/em/fibsem-uint8 was promoted to .*must not change"):
        destination.refuse_promoted(volume)
    monkeypatch.setattr(plan_export.StackReceipt, "read", lambda path: stack())
    files.write_table("ingest/chunks.tsv", ["z_first", "z_last"], [{"z_first": 1, "z_last": 9}])
    with pytest.raises(UserError, match="was promoted"):
        plan_again()


def stack():
    bounds = {"bounds": (0, 0, 90, 90), "owner": "o", "project": "p", "stack": "s", "digest": "d"}
    return type("Stack", (), bounds)()


# ---------------------------------------------------------------------------------------------
# clean-up
# ---------------------------------------------------------------------------------------------

ROWS = [
    {"layer_id": f"M_{i}", "tiles": tiles, "archived": 1 if tiles else "-",
     "raw_h5": f"archive/M/{i}.raw-archive.h5"}
    for i, tiles in enumerate((2, 1, 0))
]  # fmt: skip


@pytest.fixture
def cleanable(workdir):
    """A finished working directory: archived layers, align files, a preview."""
    files.write_table("transfer/layers.tsv", list(ROWS[0]), ROWS)
    for row in ROWS[:2]:
        path = Path(row["raw_h5"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for tile in range(row["tiles"]):
                file.create_group(f"0-0-{tile}")
    for name, size in (("h5/align/M/0.uint8.h5", 700), ("h5/align/M/1.uint8.h5", 300),
                       ("preview/v.n5/s0/0", 50), ("export/volume.json", 5)):  # fmt: skip
        files.write_bytes(name, bytes(size))
    return workdir


def listing(archive="archive"):
    list_leftovers.main(
        layers="transfer/layers.tsv",
        listing="cleanup/listing.tsv",
        word="cleanup/word.txt",
        archive_root=archive,
    )
    return Path("cleanup/word.txt").read_text().strip()


def remove(word):
    remove_leftovers.main(
        layers="transfer/layers.tsv",
        listing="cleanup/listing.tsv",
        out="cleanup/removed.tsv",
        word=word,
        archive_root="archive",
    )


def test_what_is_listed_with_its_sizes_goes_when_its_word_is_given(cleanable):
    word = listing()
    rows = files.read_table("cleanup/listing.tsv")
    assert [(r["path"], r["files"], r["bytes"]) for r in rows] == [
        ("h5/align", "2", "1000"),
        ("preview", "1", "50"),
    ]
    for wrong in (None, "abc"):
        with pytest.raises(UserError, match=f"nothing was removed.*cleanup_word: {word}"):
            remove(wrong)
    assert Path("h5/align/M/0.uint8.h5").exists()
    remove(word)
    assert not Path("h5/align").exists()
    assert not Path("preview").exists()
    assert Path("export/volume.json").exists()
    assert removable.found(Path()) == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda: Path("archive/M/1.raw-archive.h5").unlink(), "1 of 2 layers are not safe.*M_1"),
        (lambda: Path("archive/M/0.raw-archive.h5").write_bytes(b"torn"), "M_0"),
        (lambda: h5py.File("archive/M/0.raw-archive.h5", "w").close(), "found 0 tiles, expected 2"),
        (lambda: files.write_table("transfer/layers.tsv", list(ROWS[0]),
                                   [row | {"archived": 0} for row in ROWS]), "not archived"),
        (lambda: files.write_table("transfer/layers.tsv", list(ROWS[0]),
                                   [row | {"raw_h5": f"h5/raw/N/{row['layer_id']}.raw.h5"}
                                    for row in ROWS]), r"archive/N/M_0\.raw-archive\.h5 cannot"),
    ],
)  # fmt: skip
def test_without_a_sound_archive_nothing_is_listed_or_removed(cleanable, fault, words):
    word = listing()
    fault()
    for step in (listing, lambda: remove(word)):
        with pytest.raises(UserError, match=words):
            step()
    assert Path("h5/align/M/0.uint8.h5").exists()


def test_without_an_archive_nothing_is_listed(cleanable):
    with pytest.raises(UserError, match="transfer.archive_root is not set"):
        listing(archive=None)


def test_what_changed_after_the_listing_is_not_removed(cleanable):
    word = listing()
    files.write_bytes("h5/align/M/2.uint8.h5", bytes(10))
    with pytest.raises(UserError, match="h5/align has 3 files of 1010 bytes, expected 2 of 1000"):
        remove(word)
    assert Path("preview").exists()
