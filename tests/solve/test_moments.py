"""Moments of pairs, and which chunk gathers which pair."""

from dataclasses import fields

import numpy as np
import pytest

from scripts.lib.array_files import read_columns, write_columns
from scripts.lib.service.records import CanvasMatches
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
    assert moments.in_chunk([crossing.to_json()], 1, 9) == [crossing.to_json()]
    assert moments.in_chunk([crossing.to_json()], 10, 20) == []


def test_moments_of_what_the_service_answers_are_those_of_the_pairs():
    empty = CanvasMatches("4.0", "a4", "5.0", "b5", np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
    pairs = [pair(1, 2, n=9), empty, pair(2, 3, n=4)]
    read = moments.Points.of_json([one.to_json() for one in pairs])
    got, wanted = moments.of_points(read), moments.of_matches(pairs)
    assert got.p_id.tolist() == ["a1", "a2"]
    for field in fields(moments.Moments):
        assert np.array_equal(getattr(got, field.name), getattr(wanted, field.name))


def test_moments_do_not_depend_on_how_many_points_are_in_memory_at_once():
    parts = [moments.Points.of_matches([pair(z, z + 1, n=9 + z)]) for z in (1, 2, 3)]
    whole = moments.of_points(moments.Points.joined(parts))
    one_by_one = moments.joined([moments.of_points(part) for part in parts])
    for field in fields(moments.Moments):
        assert np.array_equal(getattr(whole, field.name), getattr(one_by_one, field.name))


def test_chunks_together_hold_every_pair_once():
    tiles = synthetic.grid(range(1, 26), 1, 2)
    pairs = synthetic.matches(tiles, synthetic.stage_of(tiles), np.random.default_rng(0), reach=4)
    by_group: dict[str, list] = {}
    for one in pairs:
        by_group.setdefault(one.p_group, []).append(one.to_json())
    found = []
    for first, last in ((1, 8), (9, 16), (17, 25)):
        groups = moments.groups_of_chunk(by_group, first, last, reach=4)
        for group in groups:
            found += moments.Points.of_json(moments.in_chunk(by_group[group], first, last)).keys
    assert sorted(found) == sorted(m.key for m in pairs)
    assert len(found) == len(set(found))


def test_writing_and_reading_gives_the_same_and_equal_bytes(tmp_path):
    got = moments.of_matches([pair(1, 2), pair(2, 3)])
    for name in ("a.npz", "b.npz"):
        write_columns(tmp_path / name, got)
    again = read_columns(tmp_path / "a.npz", moments.Moments)
    assert again.p_id.tolist() == got.p_id.tolist()
    assert np.array_equal(again.pq, got.pq)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_no_pairs_at_all_make_empty_moments(tmp_path):
    write_columns(tmp_path / "none.npz", moments.of_matches([]))
    joined = moments.joined(
        [read_columns(tmp_path / "none.npz", moments.Moments), moments.of_matches([pair(1, 2)])]
    )
    assert len(joined) == 1
    assert len(moments.joined([])) == 0
