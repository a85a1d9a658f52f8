import pytest

from scripts.ingest import restarts
from scripts.ingest.headers import with_prior
from tests.ingest.synthetic_layers import Volume, make_tile

PAIR = ((0, 0), (0, 1))


def find(volume):
    watch = restarts.Watch()
    assert sum(len(part) for part, _ in watch.over(with_prior(volume.parts()))) > 0
    return watch.found(volume.rows)


def test_a_gap_of_a_day_and_thirty_seconds_is_a_restart_and_z_one_is_in_its_group():
    volume = Volume([0, 1000, 60, 60, 86430, 60])
    found = find(volume)
    assert found == {2: "acquisition_delay", 5: "acquisition_delay"}
    assert restarts.groups(volume.rows, found) == {1, 2, 4, 5}


def test_a_gap_of_exactly_the_limit_is_none():
    assert find(Volume([0, 900, 901])) == {3: "acquisition_delay"}


def test_a_changed_number_of_tiles_rules_over_a_delay():
    assert find(Volume([0, 1000, 40], cells=PAIR, acquired={2: 1, 3: 1})) == {
        2: "change_tile_count"
    }


def test_a_quarantined_tile_is_no_restart():
    volume = Volume([0, 40, 40], cells=PAIR)
    volume.tiles[2].pop()  # acquired stays 2
    assert find(volume) == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"width": 104}, "change_header_xresolution"),
        ({"pixel_nm": 8.005}, None),
        ({"pixel_nm": 8.4}, "change_header_pixelsize"),
        ({"stage_z_mm": 3.5}, "change_header_stagez"),
        ({"stage_z_mm": 3.5, "software": b"08/01/2021"}, "change_header_swdate"),
        ({"wd_mm": 3.5}, None),
        ({"stage_x_mm": float("nan")}, "change_header_stagex"),
    ],
)
def test_a_changed_header_field_is_a_restart_by_precedence(fields, reason):
    volume = Volume([0, 40, 40, 40], change={3: fields, 4: fields})
    assert find(volume) == ({3: reason} if reason else {})


def test_tiles_of_permanently_different_sizes_are_no_restart():
    volume = Volume([0, 40, 40], cells=PAIR)
    for tiles in volume.tiles.values():
        tiles[1] = make_tile(0, 1, width=60)
    assert find(volume) == {}


def test_a_cell_is_compared_with_its_last_tile_however_long_ago():
    volume = Volume([0] + [40] * 5, cells=PAIR, change={6: {"stage_z_mm": 9.0}})
    for z in (2, 3, 4, 5):
        volume.tiles[z].pop()
        volume.tiles[z][0] = make_tile(stage_z_mm=9.0)
    assert find(volume) == {2: "change_header_stagez", 6: "change_header_stagez"}


def test_a_delay_before_a_lost_layer_shows_in_the_next_one():
    volume = Volume([0, 1000, 40, 40])
    volume.tiles[2] = []
    found = find(volume)
    assert found == {3: "acquisition_delay"}
    assert restarts.groups(volume.rows, found) == {1, 3}


def test_spans_of_restarts_join_where_they_touch():
    assert restarts.spans([5, 8, 20], 1) == [(4, 9), (19, 21)]
    assert restarts.spans([5, 9], 1) == [(4, 6), (8, 10)]
    assert restarts.spans([], 3) == []
