import pytest

from scripts.lib.job import UserError
from scripts.transfer import layers
from scripts.transfer.layers import Grid

SCOPE = "Merlin-6257"


def dats(layer, *cells, folder=""):
    return [(f"{folder}{SCOPE}_21-05-20_{layer}_{cell}.dat", 10) for cell in cells]


TWELVE = [
    *dats("124720", "0-0-0", "0-0-1", "0-1-0", "0-1-1"),
    *dats("124750", "0-0-0", "0-0-1", "0-1-0"),
    *dats("124820", "0-0-0"),
    *dats("124850", "0-0-0", "0-0-1", "0-1-0", "0-1-1"),
]
ACQUISITION = {"rows": 2, "columns": 2}


def plan(found, layers_per_job=2, **more):
    return layers.plan_of_acquisition(found, {**ACQUISITION, **more}, layers_per_job)


def test_twelve_files_are_four_layers_in_order_of_time_whatever_their_folders():
    found = [(f"{'zyx'[i % 3]}/{path}", size) for i, (path, size) in enumerate(reversed(TWELVE))]
    grouped = layers.group(layers.name_files(found))
    assert [len(files) for files in grouped.values()] == [4, 3, 1, 4]
    assert [f.name.tile_key for f in next(iter(grouped.values()))] == [
        "0-0-0", "0-0-1", "0-1-0", "0-1-1",
    ]  # fmt: skip


def test_the_hdf5_of_a_layer_lies_in_the_folder_of_its_hour():
    (layer, *_) = layers.group(layers.name_files(TWELVE))
    stem = f"{SCOPE}/2021/05/20/12/{SCOPE}_21-05-20_124720"
    assert str(layers.raw_path(layer)) == f"h5/raw/{stem}.raw.h5"
    assert str(layers.align_path(layer)) == f"h5/align/{stem}.uint8.h5"


def test_the_plan_keeps_a_layer_in_one_chunk():
    rows = plan(TWELVE)
    assert [r["chunk"] for r in rows] == ["0000"] * 7 + ["0001"] * 5
    assert set(rows[0]) == set(layers.PLAN_COLUMNS)


@pytest.mark.parametrize(
    ("first", "last", "count"),
    [
        (None, None, 12),
        (f"{SCOPE}_21-05-20_124750_0-0-1.dat", None, 8),
        (None, f"{SCOPE}_21-05-20_124820_0-0-0.dat", 8),
        (f"{SCOPE}_21-05-20_124750", f"{SCOPE}_21-05-20_124750_0-0-0.dat", 3),
    ],
)
def test_first_and_last_dat_select_whole_layers_inclusive(first, last, count):
    assert len(plan(TWELVE, first_dat=first, last_dat=last)) == count


def test_files_of_another_scope_are_left_out_when_a_scope_is_named():
    other = [(path.replace("6257", "1"), 10) for path, _ in TWELVE]
    assert len(plan(TWELVE + other, scope=SCOPE)) == 12


@pytest.mark.parametrize(
    ("found", "more", "words"),
    [
        (
            [*TWELVE, ("sub/readme.dat", 1)],
            {},
            r"1 \.dat file.*\n  sub/readme\.dat: .* no tile name",
        ),
        ([*TWELVE, *dats("124720", "0-0-0", folder="b/")], {}, r"b/.*the same tile as Merlin"),
        (TWELVE, {"rows": 1}, "row 1, column 0 lies outside of the grid of 1 x 2"),
        (TWELVE, {"first_dat": "nonsense"}, "acquisition.first_dat: 'nonsense' is no layer id"),
        (TWELVE, {"first_dat": f"{SCOPE}_22-05-20_124720"}, "12 file.*found .* none between"),
        (
            TWELVE,
            {"first_dat": f"{SCOPE}_21-05-20_124850", "last_dat": f"{SCOPE}_21-05-20_124720"},
            "is later than acquisition.last_dat",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_what_to_change(found, more, words):
    with pytest.raises(UserError, match=words):
        plan(found, **more)


def test_all_misfits_are_listed_at_once():
    with pytest.raises(UserError, match=r"3 \.dat file\(s\) do not fit"):
        plan([("a.dat", 1), ("b.dat", 1), ("c.dat", 1), *TWELVE])


def test_missing_cells_of_a_grid_are_named_in_reading_order():
    assert Grid(2, 3).missing(["0-0-0", "0-1-1"]) == ["0-0-1", "0-0-2", "0-1-0", "0-1-2"]
