"""Transforms that stay while a volume grows: near the newest solve, and gone at the end."""

import pytest

from scripts.solve import kept_transforms

IDENTITY = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
SIZES = {"a": (1000.0, 800.0), "b": (1000.0, 800.0), "new": (10.0, 10.0)}


# tiles that stay, more than those that move: they tell the common translation
STILL = {f"still {k}": IDENTITY for k in range(7)}
SIZES |= dict.fromkeys(STILL, (1000.0, 800.0))


def outcome(solved, published, keep_px=0.02, layers=None):
    layers = layers or dict.fromkeys(solved, 1.0)
    return kept_transforms.kept(solved, published, SIZES, layers, keep_px)[0]


def kept(solved, published, keep_px=0.02):
    found = outcome(solved | STILL, published | STILL, keep_px)
    assert all(found[tile] == IDENTITY for tile in STILL)
    return {tile: found[tile] for tile in solved}


def moved(x=0.0, y=0.0, scale=1.0):
    return [scale, 0.0, 0.0, scale, x, y]


def test_only_tiles_that_hardly_moved_keep_their_transform():
    solved = {"a": moved(0.012, 0.012), "b": moved(0.016, 0.016), "new": moved(5)}
    found = kept(solved, {"a": IDENTITY, "b": IDENTITY})
    assert found == {"a": IDENTITY, "b": solved["b"], "new": solved["new"]}


def test_what_moves_at_the_far_corner_counts():
    # 1000 px wide: 3e-5 of it are 0.03 px at the right border, none at the origin
    assert kept_transforms.moved_px(IDENTITY, moved(scale=1 + 3e-5), (1000, 0)) == pytest.approx(
        0.03
    )
    solved = {"a": moved(scale=1 + 3e-5)}
    assert kept(solved, {"a": IDENTITY}) == solved


def test_a_translation_of_all_is_no_move():
    solved = {tile: moved(1.25, -3.5) for tile in (*STILL, "a")} | {"new": moved(11.25, -3.5)}
    found = outcome(solved, STILL | {"a": IDENTITY})
    assert found == STILL | {"a": IDENTITY, "new": moved(10.0, 0.0)}


def test_small_moves_do_not_add_up():
    published = {"a": IDENTITY}
    for step in range(1, 6):
        solved = {"a": moved(0.009 * step)}
        published = kept(solved, published)
        assert kept_transforms.moved_px(published["a"], solved["a"], SIZES["a"]) < 0.02


def test_without_a_tolerance_everything_is_as_solved():
    solved = {"a": moved(1e-9)}
    assert outcome(solved, {"a": IDENTITY}, keep_px=0.0) == solved


def test_a_slow_drift_over_layers_is_no_move_and_one_tile_of_a_layer_is():
    tiles = {f"still {k}": k for k in range(7)}
    solved = {tile: moved(0.015 * k) for tile, k in tiles.items()}  # 0.09 px at the end
    solved |= {"new": moved(10.0), "a": moved(0.3 + 0.045), "b": moved(0.045)}
    layers = {tile: float(k) for tile, k in tiles.items()} | {"new": 7.0, "a": 3.0, "b": 3.0}
    published = STILL | {"a": IDENTITY, "b": IDENTITY}
    out, drift = kept_transforms.kept(solved, published, SIZES, layers, 0.02)
    assert drift == pytest.approx(0.09)
    assert {tile: each for tile, each in out.items() if tile in STILL} == STILL
    assert out["b"] == IDENTITY
    assert out["a"][4] == pytest.approx(0.3)
    assert out["new"][4] == pytest.approx(10 - 0.09)
