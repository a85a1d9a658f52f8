"""Layers in a wrong order: what matches, and what the ends of runs look like."""

import re

import numpy as np
import pytest

from scripts.lib import yaml_files
from scripts.review import gate, order, statistics
from scripts.review.causes import causes
from scripts.review.evidence import Evidence, Limits
from scripts.review.remedies import failure

REACH, TISSUE = 6, 5  # layers that are compared; that have something in common


def pairs(true, *, missing=(), tissue=TISSUE):
    """Results for layers z = 1, 2, ... that show the slices `true` of the specimen."""
    rows = []
    for z, here in enumerate(true, start=1):
        for k in range(1, REACH + 1):
            if z + k > len(true):
                continue
            apart = abs(true[z + k - 1] - here)
            rows.append({
                "p_group": f"{z}.0", "q_group": f"{z + k}.0", "dz": k,
                "count": max(60 - 8 * apart, 12),
                "saved": int(apart <= tissue and not {z, z + k} & set(missing)),
                "rms_px": 0.3 * apart if apart <= tissue else "",
            })  # fmt: skip
    names = (*statistics.TEXTS, *statistics.KINDS)
    return statistics.of_columns({name: [str(row.get(name, "")) for row in rows] for name in names})


def likes(true):
    """How alike layers are: less the farther apart they are in the specimen."""

    def like(a, b):
        apart = abs(true[int(a) - 1] - true[int(b) - 1])
        return max(0.0, 0.9 - 0.1 * apart)

    return like


def found(true, **more):
    return order.find(pairs(true, **more), likes(true))


def put_right(true, moves):
    """The slices in the order that the moves make."""
    layers = list(range(1, len(true) + 1))
    for one in moves:
        layers.remove(one["z"])
        layers.insert(layers.index(one["after"]) + 1, one["z"])
    return [true[int(z) - 1] for z in layers]


LATER_FIRST = [*range(20, 40), *range(20)]
MIXED = [*range(10), *(k for pair in zip(range(10, 20), range(20, 30), strict=True) for k in pair)]
MIXED += range(30, 40)
THREE = [*range(30, 45), *range(15), *range(15, 30)]


@pytest.mark.parametrize("true", [LATER_FIRST, MIXED, THREE], ids=["before", "mixed", "three"])
def test_layers_are_put_into_the_order_of_the_specimen(true):
    moves = found(true)["moves"]
    assert put_right(true, moves) == sorted(true)


def test_runs_whose_ends_match_a_little_are_not_joined_there():
    """The last layers of both lie beside one another, the layers that follow out of reach."""
    true = [0, 1, 8, 2, 9, 3, 10, 4, 11, 5, 12, 6, 13, 7, 14, 15]
    assert put_right(true, found(true, tissue=10)["moves"]) == sorted(true)


def test_the_sentence_names_the_layers_and_the_clock():
    assert re.match(r"layers 12 to 29 are interleaved, as when the clock", found(MIXED)["says"])
    says = found(LATER_FIRST)["says"]
    assert "z 21 to 40 belong before z 1 to 20" in says
    assert "z 40 and z 1 are as alike" in says


@pytest.mark.parametrize("missing", [(), (20, 21, 22, 23, 24, 25, 26), (5,)])
def test_layers_in_order_are_left_where_they_are(missing):
    assert found(list(range(40)), missing=missing) == {}


def test_parts_whose_ends_show_nothing_in_common_are_not_put_into_another_order():
    true = [*range(20), *range(100, 120)]
    assert found(true) == {}


def test_tissue_that_is_alike_everywhere_is_in_no_other_order():
    true = [*range(20), *range(30, 50)]
    assert order.find(pairs(true), lambda _a, _b: 0.8) == {}


def test_matches_that_lead_over_every_other_layer_do_not_interleave_what_is_in_order():
    """Where noise decides which pair misses least, chains may leave every other layer out."""
    true = list(range(24))
    table = pairs(true)
    table["rms_px"][table["dz"] == 2] = 0.01
    table["saved"][(table["dz"] == 1) & np.isin(table["z"], (1, 23))] = 0  # what joins their ends
    runs = [np.arange(1.0, 25, 2), np.arange(2.0, 25, 2)]
    assert order._interleaved(runs) == (2, 23)
    assert order.find(table, likes(true)) == {}


def test_layers_in_a_wrong_order_close_the_gate_though_all_hang_together():
    (message, lines), evidence = closed(LATER_FIRST, saved=9)
    assert "(1 of " in message
    assert "misplaced_layers: 20 layers have to move" in message
    assert message.startswith("Layers are in the wrong order")
    assert lines.count("move:") == 20
    assert "\n  max_misplaced_layers: 20\n" in lines
    accepted = Limits(max_misplaced_layers=20)
    assert failure(gate.checks(evidence, accepted), evidence, accepted, {}) is None


def closed(true, saved=1):
    disorder = found(true)
    figures = {"order": disorder, "pairs_attempted": 0, "after": {"clusters": [{"tiles": 9}]}}
    figures |= {"saved": {"dz1": {"planned": 9, "saved": saved}}}
    names = {float(z): f"scope_21-07-31_{z:06d}" for z in range(1, len(true) + 1)}
    evidence = Evidence(figures, [], [], [], "exclude: []\n", 0, layer_ids=names)
    return failure(gate.checks(evidence, Limits()), evidence, Limits(), {}), evidence


def test_parts_that_would_leave_are_the_cause_and_not_the_far_pairs():
    parts = [
        {"tiles": n, "z_first": 1.0, "z_last": 24.0, "cells": cells}
        for n, cells in ((48, ["0,1", "1,1"]), (43, ["0,0", "1,0"]))
    ]
    figures = {"before": {"clusters": parts}, "after": {"clusters": parts[:1]}}
    figures |= {"saved": {"dz1": {"planned": 9, "saved": 9}, "dz6": {"planned": 9, "saved": 1}}}
    evidence = Evidence(figures, [], [], [], "exclude: []\n", 0)
    assert causes(evidence) == [
        "the volume is in two parts: cells 0,1 1,1, z 1–24; cells 0,0 1,0, z 1–24"
    ]


def test_the_closed_gate_begins_with_the_order_and_offers_its_lines():
    (message, lines), evidence = closed(MIXED)
    assert message.startswith("Layers 12 to 29 are interleaved")
    assert causes(evidence) == [evidence.figures["order"]["says"]]
    told = yaml_files.parse(lines[lines.index("ingest:") :], "lines")["ingest"]["layers"]
    moved = [int(one["z"]) for one in evidence.figures["order"]["moves"]]
    assert [int(one["move"][-6:]) for one in told] == moved
    assert all(one["renumber"] and one["reason"] for one in told)


def test_layers_without_an_image_in_common_say_nothing():
    like = order.likeness_of([])
    assert like(1.0, 2.0) == 0.0
    assert np.isfinite(like(1.0, 1.0))
