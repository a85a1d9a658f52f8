from dataclasses import replace

import pytest

from scripts.ingest import restarts
from tests.ingest.synthetic_layers import make_layers, make_tile


def test_a_gap_of_a_day_and_thirty_seconds_is_a_restart_and_z_one_is_in_its_group():
    layers = make_layers([0, 1000, 60, 60, 86430, 60])
    found = restarts.find(layers)
    assert found == {2: "acquisition_delay", 5: "acquisition_delay"}
    assert restarts.groups(layers, found) == {1, 2, 4, 5}


def test_a_gap_of_exactly_the_limit_is_none():
    assert restarts.find(make_layers([0, 900, 901])) == {3: "acquisition_delay"}


def test_a_changed_number_of_tiles_rules_over_a_delay():
    layers = make_layers([0, 1000, 40], cells=((0, 0), (0, 1)), acquired={2: 1, 3: 1})
    assert restarts.find(layers) == {2: "change_tile_count"}


def test_a_quarantined_tile_is_no_restart():
    layers = make_layers([0, 40, 40], cells=((0, 0), (0, 1)))
    tiles = {k: v for k, v in layers[1].tiles.items() if k == "0-0-0"}
    layers[1] = replace(layers[1], tiles=tiles)  # acquired stays 2
    assert restarts.find(layers) == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"XResolution": 104}, "change_header_xresolution"),
        ({"PixelSize": 8.4}, None),
        ({"PixelSize": 8.5}, "change_header_pixelsize"),
        ({"StageZ": 3.5}, "change_header_stagez"),
        ({"StageZ": 3.5, "SWdate": "08/01/2021"}, "change_header_swdate"),
        ({"WD": 3.5}, None),
        ({"StageX": float("nan")}, "change_header_stagex"),
    ],
)
def test_a_changed_header_field_is_a_restart_by_precedence(fields, reason):
    layers = make_layers([0, 40, 40, 40], change={3: fields, 4: fields})
    assert restarts.find(layers) == ({3: reason} if reason else {})


def test_tiles_of_permanently_different_sizes_are_no_restart():
    layers = make_layers([0, 40, 40], cells=((0, 0), (0, 1)))
    layers = [
        replace(a, tiles={**a.tiles, "0-0-1": make_tile(a.name, 0, 1, XResolution=60)})
        for a in layers
    ]
    assert restarts.find(layers) == {}


def test_a_delay_before_a_lost_layer_shows_in_the_next_one():
    layers = make_layers([0, 1000, 40, 40])
    layers[1] = replace(layers[1], tiles={})
    found = restarts.find(layers)
    assert found == {3: "acquisition_delay"}
    assert restarts.groups(layers, found) == {1, 3}
