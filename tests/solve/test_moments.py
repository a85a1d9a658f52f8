"""Moments of pairs, and which chunk gathers which pair."""

import numpy as np
import pytest

from scripts.lib.records import CanvasMatches
from scripts.solve import moments
from tests.solve import synthetic


def pair(z_p, z_q, n=5, seed=0):
    rng = np.random.default_rng(seed)
    p, q, w = rng.normal(500, 100, (n, 2)), rng.normal(500, 100, (n, 2)), rng.uniform(0.1, 1, n)
    one = CanvasMatches(f"{z_p:.1f}", f"a{z_p}", f"{z_q:.1f}", f"b{z_q}", p, q, w)
    return one.ordered()


def test_moments_are_the_weighted_means_about_the_centroids():
    one = pair(1, 2)
    got = moments.of_matches([pair(3, 4, seed=1), one])
    w = one.w / one.w.sum()
    assert got.weight[1] == pytest.approx(one.w.sum())
    assert got.count[1] == 5
    assert got.p[1] == pytest.approx(w @ one.p)
    wanted = (one.p - w @ one.p).T @ np.diag(w) @ (one.q - w @ one.q)
    assert got.pq[1] == pytest.approx(wanted)
    assert got.dz.tolist() == [1, 1]


def test_a_pair_belongs_to_the_chunk_of_its_lower_z_whichever_side_is_p():
    crossing = pair(9, 10)
    assert crossing.p_group == "10.0"  # text order
    assert moments.in_chunk([crossing], 1, 9) == [crossing]
    assert moments.in_chunk([crossing], 10, 20) == []


def test_chunks_together_hold_every_pair_once():
    tiles = synthetic.grid(range(1, 26), 1, 2)
    pairs = synthetic.matches(tiles, synthetic.stage_of(tiles), np.random.default_rng(0), reach=4)
    by_group: dict[str, list] = {}
    for one in pairs:
        by_group.setdefault(one.p_group, []).append(one)
    found = []
    for first, last in ((1, 8), (9, 16), (17, 25)):
        groups = moments.groups_of_chunk(by_group, first, last, reach=4)
        found += [m.key for g in groups for m in moments.in_chunk(by_group[g], first, last)]
    assert sorted(found) == sorted(m.key for m in pairs)
    assert len(found) == len(set(found))


def test_writing_and_reading_gives_the_same_and_equal_bytes(tmp_path):
    got = moments.of_matches([pair(1, 2), pair(2, 3)])
    for name in ("a.npz", "b.npz"):
        moments.write(tmp_path / name, got)
    again = moments.read(tmp_path / "a.npz")
    assert again.p_id.tolist() == got.p_id.tolist()
    assert np.array_equal(again.pq, got.pq)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_no_pairs_at_all_make_empty_moments(tmp_path):
    moments.write(tmp_path / "none.npz", moments.of_matches([]))
    joined = moments.joined([moments.read(tmp_path / "none.npz"), moments.of_matches([pair(1, 2)])])
    assert len(joined) == 1
    assert len(moments.joined([])) == 0
