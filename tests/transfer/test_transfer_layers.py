import re

import pytest

from scripts.lib import layer_files
from scripts.lib.job import UserError
from scripts.lib.names import parse_layer
from scripts.transfer import layers, planning
from scripts.transfer.layers import Found, Grid, Limits
from scripts.transfer.planning import Hdf5Layers, PreviousRun, Quiet

SCOPE = "Merlin-6257"


def dats(layer, *cells, folder="", modified_s=0):
    names = [f"{folder}{SCOPE}_21-05-20_{layer}_{cell}.dat" for cell in cells]
    return [Found(name, 10, modified_s * 10**9) for name in names]


TWELVE = [
    *dats("124720", "0-0-0", "0-0-1", "0-1-0", "0-1-1"),
    *dats("124750", "0-0-0", "0-0-1", "0-1-0"),
    *dats("124820", "0-0-0"),
    *dats("124850", "0-0-0", "0-0-1", "0-1-0", "0-1-1"),
]
GRID = Grid(2, 2)


def grouped(found):
    files, misfits = layers.name_files(found)
    assert misfits == []
    return layers.group(files)


def plan(found, previous=None, on_disk=None, layers_per_job=2, stored=None, **limits):
    previous, on_disk = previous or PreviousRun(), on_disk or Hdf5Layers()
    bounds = Limits.of(limits)
    mine = {k: v for k, v in grouped(found).items() if bounds.hold(k)}
    todo = planning.due(previous, mine, [], on_disk, bounds)
    return planning.plan(
        *(previous, mine, on_disk, bounds),
        todo=todo,
        stored=lambda layer: (stored or {}).get(layer.layer_id, {}),
        layers_per_job=layers_per_job,
    )


def test_twelve_files_are_four_layers_in_order_of_time_whatever_their_folders():
    found = [Found(f"{'zyx'[i % 3]}/{f.path}", 10) for i, f in enumerate(reversed(TWELVE))]
    by_layer = grouped(found)
    assert [len(files) for files in by_layer.values()] == [4, 3, 1, 4]
    assert [f.name.tile_key for f in next(iter(by_layer.values()))] == [
        "0-0-0", "0-0-1", "0-1-0", "0-1-1",
    ]  # fmt: skip


def test_the_hdf5_of_a_layer_lies_in_the_folder_of_its_hour():
    (layer, *_) = grouped(TWELVE)
    stem = f"{SCOPE}/2021/05/20/12/{SCOPE}_21-05-20_124720"
    assert str(layer_files.raw_path(layer)) == f"h5/raw/{stem}.raw.h5"
    assert str(layer_files.align_path(layer)) == f"h5/align/{stem}.uint8.h5"
    assert str(layer_files.archive_path(layer)) == f"{stem}.raw-archive.h5"


def test_the_plan_keeps_a_layer_in_one_chunk():
    rows = plan(TWELVE)
    assert [r["chunk"] for r in rows] == ["0000"] * 7 + ["0001"] * 5
    assert set(rows[0]) == set(planning.PLAN_COLUMNS)


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        (None, None, 12),
        (f"{SCOPE}_21-05-20_124750_0-0-1.dat", None, 8),
        (None, f"{SCOPE}_21-05-20_124820_0-0-0.dat", 8),
        (f"{SCOPE}_21-05-20_124750", f"{SCOPE}_21-05-20_124750_0-0-0.dat", 3),
        (f"{SCOPE}_22-05-20_124720", None, 0),
    ],
)
def test_first_and_last_dat_select_whole_layers_inclusive(first, last, count):
    assert len(plan(TWELVE, first_dat=first, last_dat=last)) == count


def test_files_of_another_scope_are_left_out_when_a_scope_is_named():
    other = [Found(f.path.replace("6257", "1"), 10) for f in TWELVE]
    assert len(plan(TWELVE + other, scope=SCOPE)) == 12


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"first_dat": "nonsense"}, "acquisition.first_dat: 'nonsense' is no layer id"),
        (
            {"first_dat": f"{SCOPE}_21-05-20_124850", "last_dat": f"{SCOPE}_21-05-20_124720"},
            "is later than acquisition.last_dat",
        ),
    ],
)
def test_wrong_limits_are_named(more, words):
    with pytest.raises(UserError, match=words):
        plan(TWELVE, **more)


def test_missing_cells_of_a_grid_are_named_in_reading_order():
    assert Grid(2, 3).missing(["0-0-0", "0-1-1"]) == ["0-0-1", "0-0-2", "0-1-0", "0-1-2"]


# ---------------------------------------------------------------------------------------------
# a second plan
# ---------------------------------------------------------------------------------------------


def ids(found):
    return {parse_layer(file.path.rsplit("/")[-1]).layer_id for file in found}


def attempts(rows):
    return {row["layer_id"][-6:]: row["attempt"] for row in rows}


def remembered(rows, **tables):
    return PreviousRun(plan=tuple(rows), **tables)


def test_nothing_new_means_nothing_to_do_and_the_same_plan():
    first = plan(TWELVE)
    previous, on_disk = remembered(first), Hdf5Layers(raw=ids(TWELVE), align=ids(TWELVE))
    assert planning.due(previous, grouped(TWELVE), [], on_disk, Limits()) == {}
    assert plan(TWELVE, previous, on_disk) == first


def test_removed_dats_keep_their_layers_and_rows_when_a_raw_hdf5_holds_them():
    first = plan(TWELVE)
    previous, on_disk = remembered(first), Hdf5Layers(raw=ids(TWELVE), align=ids(TWELVE))
    assert planning.due(previous, {}, [], on_disk, Limits()) == {}
    assert plan([], previous, on_disk) == first


def test_a_late_layer_goes_to_the_last_chunk_and_leaves_the_others_alone():
    first = plan(TWELVE[:7] + TWELVE[8:])
    on_disk = Hdf5Layers(raw=ids(TWELVE), align=ids(TWELVE))
    second = plan(TWELVE, remembered(first), on_disk)
    assert [r for r in second if r["chunk"] == "0000"] == [r for r in first if r["chunk"] == "0000"]
    assert {r["chunk"] for r in second if r["layer_id"].endswith("124820")} == {"0001"}
    assert [r["layer_id"][-6:] for r in second[7:9]] == ["124820", "124850"]


def test_late_changed_failed_and_lost_are_to_be_done_and_count_up():
    first = plan([f for f in TWELVE if "124720_0-1-1" not in f.path])
    table = [
        {"layer_id": f"{SCOPE}_21-05-20_{stamp}", "tiles": "1", "converted": c, "archived": "-"}
        for stamp, c in (("124720", "1"), ("124750", "1"), ("124820", "0"), ("124850", "1"))
    ]
    changed = [Found(f.path, f.size, 5) if "124750_0-0-1" in f.path else f for f in TWELVE]
    previous = remembered(first, layers=tuple(table))
    lost = f"{SCOPE}_21-05-20_124850"
    on_disk = Hdf5Layers(raw=ids(TWELVE), align=ids(TWELVE) - {lost})
    todo = planning.due(previous, grouped(changed), [], on_disk, Limits())
    assert {layer[-6:]: what for layer, what in todo.items()} == {
        "124720": "new .dat",
        "124750": "changed .dat",
        "124820": "failed",
        "124850": "align HDF5 lost",
    }
    assert set(attempts(plan(changed, previous, on_disk)).values()) == {"2"}


def test_what_is_to_be_done_again_and_again_gives_another_text_each_time():
    first = plan(TWELVE)
    failed = ({"layer_id": first[0]["layer_id"], "tiles": "0", "converted": "0"},)
    previous, on_disk = (
        remembered(first, layers=failed),
        Hdf5Layers(raw=ids(TWELVE), align=ids(TWELVE)),
    )
    second = plan(TWELVE, previous, on_disk)
    again = remembered(second, layers=failed)
    texts = [
        planning.words(planning.due(m, grouped(TWELVE), [], on_disk, Limits()), m)
        for m in (previous, again)
    ]
    assert texts[0] != texts[1]


def test_a_dat_that_vanished_unconverted_leaves_the_plan():
    first = plan(TWELVE)
    assert len(plan(TWELVE[1:], remembered(first))) == 11


def test_a_lost_plan_is_made_anew_from_hdf5_and_archive():
    stored = {i: {"0-0-0": (f"{i}_0-0-0.dat", 7)} for i in sorted(ids(TWELVE))}
    half = sorted(ids(TWELVE))
    on_disk = Hdf5Layers(raw=half[:2], align=half, archive=half[2:])
    rows = plan([], on_disk=on_disk, stored=stored)
    assert [(r["dat"], r["bytes"]) for r in rows] == [(f"{i}_0-0-0.dat", "7") for i in half]


def rows_of(*, tiles="1", converted="1", archived="-"):
    """The table of layers of a run in which every layer ended alike."""
    state = {"tiles": tiles, "converted": converted, "archived": archived}
    return tuple({"layer_id": layer_id} | state for layer_id in sorted(ids(TWELVE)))


def due(previous, found=TWELVE, on_disk=None, limits=None):
    everything = Hdf5Layers(raw=ids(TWELVE), align=ids(TWELVE))
    todo = planning.due(previous, grouped(found), [], on_disk or everything, limits or Limits())
    return {layer_id[-6:]: what for layer_id, what in todo.items()}


def test_a_raw_hdf5_that_went_without_an_archive_and_an_archiving_that_failed_are_to_be_done():
    first = plan(TWELVE)
    gone = Hdf5Layers(raw=ids(TWELVE[:7]), align=ids(TWELVE))
    lost = {"124820": "raw HDF5 lost", "124850": "raw HDF5 lost"}
    assert due(remembered(first, layers=rows_of()), on_disk=gone) == lost
    assert due(remembered(first, layers=rows_of(archived="1")), on_disk=gone) == {}
    failed = due(remembered(first, layers=rows_of(archived="0")))
    assert set(failed.values()) == {"failed"}


def test_a_quarantined_dat_that_vanishes_is_to_be_done_although_its_layer_has_a_raw_hdf5():
    first = plan(TWELVE)
    bad = {"layer_id": f"{SCOPE}_21-05-20_124720", "tile_key": "0-0-1"}
    found = [file for file in TWELVE if "124720_0-0-1" not in file.path]
    assert due(remembered(first, quarantine=(bad,)), found) == {"124720": ".dat gone"}
    assert due(remembered(first), found) == {}
    later = Limits.of({"first_dat": f"{SCOPE}_21-05-20_124750"})
    assert due(remembered(first, quarantine=(bad,)), TWELVE[4:], limits=later) == {}


def test_a_layer_keeps_its_rows_while_its_hdf5_cannot_be_read():
    first = plan(TWELVE)
    broken = remembered(first, layers=rows_of(converted="0"))
    everything = Hdf5Layers(raw=ids(TWELVE), align=ids(TWELVE))
    assert [r["dat"] for r in plan([], broken, everything)] == [r["dat"] for r in first]
    assert plan([], broken, Hdf5Layers(raw=ids(TWELVE))) == []  # it was never converted


# ---------------------------------------------------------------------------------------------
# the newest layer
# ---------------------------------------------------------------------------------------------


def growing(found, *, age_s=10, imaging=True, whole=True, planned=()):
    quiet = Quiet(imaging, quiet_s=3600, now_s=1000 + age_s)
    kept = planning.without_growing(grouped(found), GRID, quiet, lambda file: whole, planned)
    return len(kept)


NEWEST = [*TWELVE, *dats("124920", "0-0-0", "0-0-1", modified_s=1000)]
COMPLETE = [*TWELVE, *dats("124920", "0-0-0", "0-0-1", "0-1-0", "0-1-1", modified_s=1000)]


@pytest.mark.parametrize(
    ("found", "how", "count"),
    [
        (NEWEST, {}, 4),
        (NEWEST, {"age_s": 3600}, 5),
        (NEWEST, {"age_s": -10}, 4),  # the file server's clock is ahead
        (NEWEST, {"age_s": -4000}, 5),  # the clock was set back: no waiting for hours
        (NEWEST, {"imaging": False}, 5),
        (NEWEST, {"planned": [f"{SCOPE}_21-05-20_124950"]}, 5),  # there is a newer one
        (COMPLETE, {}, 5),
        (COMPLETE, {"whole": False}, 4),  # the last file is still being written
    ],
)
def test_the_newest_layer_waits_until_it_is_whole_or_quiet(found, how, count):
    assert growing(found, **how) == count


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("Merlin-6257_21-05-20_124720_0-1-1.dat", None),
        ("Merlin-6257_21-05-20_124720", None),  # a layer names no tile
        (None, None),
        ("Merlin-6257_21-05-20_124720_0-0-0.dat", "last_dat: expected tile 0-1-1 .* found 0-0-0"),
    ],
)
def test_a_volume_that_does_not_end_with_the_last_tile_of_the_grid_is_named(last, words):
    first = "Merlin-6257_21-05-20_124720_0-0-0.dat"
    ends = {"acquisition.first_dat": first, "acquisition.last_dat": last}
    said = layers.not_the_corners(ends, layers.Grid(2, 2))
    assert len(said) == (words is not None)
    assert all(re.search(words, line) and last in line for line in said)
