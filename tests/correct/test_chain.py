"""Which chains of steps are allowed, and what their stacks are called."""

import itertools
from pathlib import Path

import pytest
import yaml

from scripts.correct import chain


def test_every_step_has_a_module_with_both_functions_and_a_suffix_of_its_own():
    for step in chain.STEPS.values():
        assert step.changes
        assert callable(step.load().estimate)
        assert callable(step.load().apply)
    assert len({step.suffix for step in chain.STEPS.values()}) == len(chain.STEPS)


def test_the_schema_knows_the_steps_in_their_order_and_a_section_for_each():
    schema = yaml.safe_load(Path("config/schema.yaml").read_text())["properties"]["correct"]
    listed, *sections = schema["properties"]
    assert schema["properties"][listed]["items"]["enum"] == list(chain.STEPS) == sections


def test_stacks_are_named_by_what_was_done():
    assert chain.stacks("v4_align", ["16bit", "destreak", "straighten", "shading"]) == [
        "v4_align_16bit",
        "v4_align_16bit_destreak",
        "v4_align_16bit_destreak_straight",
        "v4_align_16bit_destreak_straight_sc",
    ]


def test_every_order_with_16bit_before_grey_values_is_taken():
    for order in itertools.permutations(chain.STEPS, 3):
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
