"""Which chains of steps are allowed, and what their stacks are called."""

import itertools

import pytest

from scripts.correct import chain, steps


def test_every_step_of_the_chain_is_registered_and_every_registered_one_has_a_suffix():
    assert list(steps.STEPS) == list(chain.SUFFIX)
    assert len(set(chain.SUFFIX.values())) == len(chain.SUFFIX)
    assert all(step.changes for step in steps.STEPS.values())


def test_stacks_are_named_by_what_was_done():
    assert chain.stacks("v4_align", ["16bit", "destreak", "straighten", "shading"]) == [
        "v4_align_16bit",
        "v4_align_16bit_destreak",
        "v4_align_16bit_destreak_straight",
        "v4_align_16bit_destreak_straight_sc",
    ]


def test_every_order_with_16bit_before_grey_values_is_taken():
    for order in itertools.permutations(chain.SUFFIX, 3):
        early = "16bit" in order and set(order[: order.index("16bit")]) - {"straighten"}
        if early:
            with pytest.raises(ValueError, match="before 16bit"):
                chain.check(order)
        else:
            chain.check(order)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (["bend"], r"no step 'bend' \(known: straighten, 16bit"),
        (["shading", "shading"], "shading is there 2 times"),
        (["destreak", "shading", "16bit"], "destreak, shading before 16bit.*put 16bit first"),
    ],
)
def test_an_impossible_chain_is_refused_by_name(order, words):
    with pytest.raises(ValueError, match=words):
        chain.check(order)


def test_unknown_step_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'bend'.*straighten"):
        steps.find("bend")
