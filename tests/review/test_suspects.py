"""Verdicts from survey figures given by hand: each limit and each neighborhood taken by itself."""

import dataclasses

import numpy as np
import pytest

from scripts.review import suspects
from scripts.review.suspects import Limits

SOUND = {
    "row": "0", "column": "0", "texture": "10", "noise": "4", "like": "0.9", "unlike_share": "0",
    "judged_blocks": "64", "unlike_from": "0", "unlike_to": "0", "displaced_share": "0",
    "displaced_from": "0", "saturated_share": "0", "dead_share": "0",
}  # fmt: skip


def verdicts(layers=11, limits=None, **columns):
    """Verdicts by z of one cell: `columns` gives figures by z where they differ from `SOUND`."""
    rows = [{**SOUND, "tile_id": str(z), "z": str(z)} for z in range(layers)]
    for name, values in columns.items():
        for z, value in values.items():
            rows[z][name] = str(value)
    return {int(k): v for k, v in suspects.verdicts(rows, limits or Limits()).items()}


def damaged(**columns):
    return {z for z, v in verdicts(**columns).items() if v.kind == suspects.DAMAGED}


def test_noise_counts_only_against_the_layers_before_and_those_after():
    assert damaged(noise={5: 9}) == {5}
    assert damaged(noise=dict.fromkeys(range(5, 11), 9)) == set()  # noisy from there on
    assert damaged(noise=dict.fromkeys(range(6), 9)) == set()  # noisy until there
    assert damaged(noise={0: 9, 10: 9}) == set()  # nothing lies on the other side
    assert damaged(noise={0: 17, 10: 17}) == {0, 10}  # as much as two sides would say


def test_texture_counts_only_against_the_layers_before_and_those_after():
    assert damaged(texture={5: 4}) == {5}
    assert damaged(texture=dict.fromkeys(range(5, 11), 4)) == set()
    assert damaged(texture=dict.fromkeys(range(6), 4)) == set()


@pytest.mark.parametrize("name", ["saturated_share", "dead_share"])
def test_a_share_that_one_side_has_as_well_is_no_damage(name):
    assert damaged(**{name: {5: 0.2}}) == {5}
    assert damaged(**{name: dict.fromkeys(range(5, 11), 0.2)}) == {5, 6}  # the first ones
    assert damaged(**{name: dict.fromkeys(range(11), 0.2)}) == set()


@pytest.mark.parametrize(
    ("name", "at_limit"),
    [("unlike_share", 0.1), ("displaced_share", 0.03),
     ("saturated_share", 0.05), ("dead_share", 0.02)],
)  # fmt: skip
def test_what_is_at_its_limit_passes_and_what_is_above_has_its_ratio_as_score(name, at_limit):
    assert damaged(**{name: {5: at_limit}}) == set()
    assert verdicts(**{name: {5: 3 * at_limit}})[5].score == pytest.approx(3)


def test_a_few_judged_blocks_say_nothing():
    assert damaged(unlike_share={5: 0.5}, judged_blocks={5: 7}) == set()
    assert damaged(unlike_share={5: 0.5}, judged_blocks={5: 8}) == {5}


def test_bare_layers_are_resin_from_three_on_and_at_the_ends():
    bare = {"texture": 2, "like": 0.1}

    def kinds(at):
        found = verdicts(**{name: dict.fromkeys(at, value) for name, value in bare.items()})
        return {z: found[z].kind for z in at}

    assert set(kinds([4, 5]).values()) == {suspects.DAMAGED}
    assert set(kinds([4, 5, 6]).values()) == {suspects.RESIN}
    assert set(kinds([0]).values()) == {suspects.RESIN}
    assert set(kinds([10]).values()) == {suspects.RESIN}


def test_the_score_of_resin_is_what_it_lacks_of_the_texture_of_tissue():
    assert verdicts(texture={0: 2}, like={0: 0.1})[0].score == pytest.approx(0.8)


def test_the_texture_of_tissue_is_that_of_tiles_whose_structure_goes_on():
    # most tiles are bare: the median of all of them would be theirs
    figures = {"texture": dict.fromkeys(range(8), 2), "like": dict.fromkeys(range(8), 0.1)}
    found = verdicts(**figures)
    assert {found[z].kind for z in range(8)} == {suspects.RESIN}


def test_the_limit_of_likeness_also_tells_which_tiles_give_the_texture_of_tissue():
    # six of eleven are as faint as the limit allows: at the default they would count as tissue
    figures = {"texture": dict.fromkeys(range(6), 2), "like": dict.fromkeys(range(6), 0.5)}
    strict = verdicts(limits=Limits(resin_likeness=0.6), **figures)
    assert {strict[z].kind for z in range(6)} == {suspects.RESIN}
    assert {v.kind for v in verdicts(**figures).values()} == {suspects.TISSUE}


@pytest.mark.parametrize(
    ("figures", "lax"),
    [
        ({"texture": {0: 3}, "like": {0: 0.1}}, {"resin_texture": 0.2}),
        ({"texture": {0: 3}, "like": {0: 0.4}}, {"resin_likeness": 0.3}),
        ({"texture": {4: 3, 5: 3}, "like": {4: 0.1, 5: 0.1}}, {"min_resin_layers": 2}),
        ({"unlike_share": {5: 0.2}}, {"max_unlike_share": 0.3}),
        ({"displaced_share": {5: 0.1}}, {"max_displaced_share": 0.2}),
        ({"saturated_share": {5: 0.1}}, {"max_saturated_share": 0.2}),
        ({"dead_share": {5: 0.1}}, {"max_dead_share": 0.2}),
        ({"noise": {5: 12}}, {"max_noise_ratio": 4}),
        ({"texture": {5: 4}}, {"min_texture_ratio": 0.2}),
        (
            {"layers": 20, "unlike_share": {z: 0.05 * (z % 4) for z in range(20)}},
            {"usual_sd": 0},
        ),
    ],
)
def test_each_limit_of_the_config_decides(figures, lax):
    usual, other = verdicts(**figures), verdicts(limits=Limits(**lax), **figures)
    assert [v.kind for v in usual.values()] != [v.kind for v in other.values()]


def test_every_limit_of_the_config_is_tried_above():
    marks = test_each_limit_of_the_config_decides.pytestmark
    tried = {name for _, lax in marks[0].args[1] for name in lax}
    assert tried == {each.name for each in dataclasses.fields(Limits)}


THICK = {z: 0.03 * (z % 6) for z in range(30)}  # 0 to 0.15 of the area, without any damage


def test_what_is_usual_in_a_volume_is_no_damage_and_what_is_far_beyond_is():
    assert damaged(layers=30, unlike_share=THICK) == set()
    assert damaged(layers=30, unlike_share={**THICK, 9: 0.6}) == {9}
    lost = dict.fromkeys(range(10, 15), 0.9)  # a sixth of all tiles
    assert damaged(layers=30, unlike_share={**THICK, **lost}) == set(lost)
    assert damaged(layers=30, displaced_share={z: v / 3 for z, v in THICK.items()}) == set()


def test_a_few_tiles_do_not_say_what_is_usual():
    assert damaged(layers=7, unlike_share={z: THICK[z] for z in range(7)}) == {4, 5}


def test_an_end_is_judged_by_the_side_it_has_as_others_would_be_by_that_side():
    ends = {0: 0.3, 29: 0.3}
    assert damaged(layers=30, unlike_share=ends) == {0, 29}
    sides = {"unlike_before": {z: 1.5 * v for z, v in THICK.items()}}
    assert damaged(layers=30, unlike_share=ends, **sides) == {0}
    sides["unlike_after"] = sides["unlike_before"]
    assert damaged(layers=30, unlike_share=ends, **sides) == set()
    assert damaged(layers=30, unlike_share={0: 1.0, 29: 1.0}, **sides) == {0, 29}
    assert damaged(layers=30, unlike_share={9: 0.3}, **sides) == {9}


DEAD = {"texture": 0, "noise": 0, "like": 0, "saturated_share": 1}


@pytest.mark.parametrize("layers", [[5], [4, 5, 6], range(11), [0, 1, 2, 3], range(3, 9)])
def test_tiles_without_signal_are_dead_and_never_resin(layers):
    found = verdicts(**{name: dict.fromkeys(layers, value) for name, value in DEAD.items()})
    assert {z for z, v in found.items() if v.is_dead} == set(layers)
    assert {found[z].kind for z in layers} == {suspects.DAMAGED}


@pytest.mark.parametrize("noise", [1.9, 8.2])
@pytest.mark.parametrize("layers", [[4, 5, 6], range(3, 9), range(6, 11)])
def test_bare_tiles_with_another_noise_than_tissue_are_of_a_detector_and_no_resin(noise, layers):
    bare = {"texture": 0.5, "like": 0.1, "noise": noise}
    found = verdicts(**{name: dict.fromkeys(layers, value) for name, value in bare.items()})
    assert {z for z, v in found.items() if v.kind == suspects.DAMAGED} == set(layers)
    assert all("detector off?" in found[z].words for z in layers)
    assert not any(v.is_dead for v in found.values())


@pytest.mark.parametrize("noise", [2.1, 3.3, 4, 7.9])
def test_bare_tiles_with_about_the_noise_of_tissue_are_resin(noise):
    bare = {"texture": 0.5, "like": 0.1, "noise": noise}
    found = verdicts(**{name: dict.fromkeys([4, 5, 6], value) for name, value in bare.items()})
    assert {z for z, v in found.items() if v.kind == suspects.RESIN} == {4, 5, 6}


def test_noise_of_resin_is_compared_with_tissue_of_its_layer_in_raw_levels():
    """A dwell time that changed for all tiles is none of the resin's."""
    longer = range(6, 11)
    rows = [
        {**SOUND, "tile_id": f"{c}.{z}", "z": str(z), "column": str(c), "grey_step": "10",
         **({"texture": "0.5", "like": "0.1"} if c else {}),
         **({"noise": "1", "grey_step": "8" if c else "10"} if z in longer else {})}
        for c in (0, 1) for z in range(11)
    ]  # fmt: skip
    found = suspects.verdicts(rows, Limits())
    assert {v.kind for k, v in found.items() if k[0] == "1"} == {suspects.RESIN}


def test_resin_with_the_noise_of_the_detector_stays_resin():
    bare = {"texture": 0.5, "like": 0.1, "saturated_share": 1}
    found = verdicts(**{name: dict.fromkeys([4, 5, 6], value) for name, value in bare.items()})
    assert {found[z].kind for z in (4, 5, 6)} == {suspects.RESIN}


def test_the_cells_of_a_layer_are_judged_apart():
    rows = [{**SOUND, "tile_id": f"{c}.{z}", "z": str(z), "column": str(c), "noise": 9 if c else 4}
            for c in (0, 1) for z in range(11)]  # fmt: skip
    rows = [{k: str(v) for k, v in row.items()} for row in rows]
    assert {v.kind for v in suspects.verdicts(rows, Limits()).values()} == {suspects.TISSUE}


def test_the_layers_beside_a_tile_and_their_medians_are_those_of_a_plain_loop():
    rng = np.random.default_rng(4)
    z = np.sort(rng.choice(60, 25, replace=False)).astype(float)
    values = rng.normal(10, 3, len(z))
    found = suspects._beside(z)
    near = suspects.BESIDE
    for side, step in ((suspects.BEFORE, z[:, None] - z), (suspects.AFTER, z - z[:, None])):
        beside = (step > 0) & (step <= near)  # (tile, other)
        wanted = [np.median(values[one]) if one.any() else np.nan for one in beside]
        assert np.array_equal(suspects._medians(values, found[side]), wanted, equal_nan=True)


def test_what_is_kept_of_a_tile_does_not_grow_with_the_volume():
    assert suspects._beside(np.arange(5000.0))[suspects.BEFORE].shape == (5000, suspects.BESIDE)
