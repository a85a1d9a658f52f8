"""Steps of rotation, scale, aspect and shear between runs of layers, of tiles of 4,000 px."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.solve import robust
from scripts.solve import steps as found_steps
from scripts.solve.graph import graph_of, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options, solve
from tests.solve import graphs, synthetic

CORNERS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * (graphs.SIDE - 1.0)
NOISE = 0.5  # px


def turn(degrees):
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


KINDS = {
    "scale 1 %": 1.01 * np.eye(2),
    "scale -5 %": 0.95 * np.eye(2),
    "rotation 1.5 deg": turn(1.5),
    "rotation 3 deg": turn(-3),
    "aspect 3 %": np.diag([1, 1.03]),
    "shear 2 %": np.array([[1, 0.02], [0, 1]]),
}


def stepped(layers, rows, columns, steps, *, on_the_spot=False, wrong=0.0, seed=0):
    """A volume whose layers from each z on are changed by a matrix, and its matches.

    The specimen changes as a whole, or each tile about its own centre.
    """
    rng = np.random.default_rng(seed)
    tiles = graphs.grid(layers, rows, columns)
    placement = tiles.placements(graphs.truth_of(tiles, rng))
    middle = placement[:, :, 2].mean(axis=0)
    for z, matrix in steps:
        late = tiles.z >= z
        placement[late, :, :2] = matrix @ placement[late, :, :2]
        if not on_the_spot:
            placement[late, :, 2] = (placement[late, :, 2] - middle) @ matrix.T + middle
    truth = tiles.affines(placement)
    return graphs.of_truth(tiles, truth, rng, wrong=wrong, noise=NOISE, bent=0.05)


def errors_of_steps(case, placement):
    """(layers - 1,) largest change of the error at a tile's corner from layer to layer, px."""
    got, want = (
        np.einsum("nij,cj->nci", affine[:, :, :2], CORNERS) + affine[:, None, :, 2]
        for affine in (case.tiles.affines(placement), case.truth)
    )
    flat = np.column_stack([got.reshape(-1, 2), np.ones(got.size // 2)])
    gauge = np.linalg.lstsq(flat, want.reshape(-1, 2), rcond=None)[0]  # no image can tell it
    error = ((flat @ gauge).reshape(got.shape) - want).reshape(int(case.tiles.z[-1]), -1, 4, 2)
    return np.linalg.norm(np.diff(error, axis=0), axis=3).max(axis=(1, 2))


def run(case, options=None, restarts=()):
    options = options or Options()
    graph = graph_of(case.tiles, case.moments, options.weighting)
    return solve(case.tiles, graph, options, restarts)


def check(case, steps, solved):
    change = errors_of_steps(case, solved.placement)
    at = [int(z) - 2 for z, _ in steps]
    assert change[at].max() <= np.delete(change, at).max() + 0.1
    assert not (solved.factor[~case.wrong] == 0).any()
    assert (solved.factor[case.wrong] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_comes_out_as_well_as_any_other_pair_of_layers(kind):
    steps = [(31, KINDS[kind])]
    case = stepped(60, 1, 2, steps, wrong=0.05)
    solved = run(case)
    check(case, steps, solved)
    ratio = solved.reference.linear[1] @ np.linalg.inv(solved.reference.linear[0])
    assert ratio == pytest.approx(KINDS[kind], abs=1e-3)


@pytest.mark.parametrize(
    ("rows", "columns", "on_the_spot"), [(1, 1, False), (2, 2, False), (2, 2, True)]
)
def test_many_steps_of_all_kinds_at_once_do_not_disturb_one_another(rows, columns, on_the_spot):
    """Beside them wrong pairs, and a run of one layer."""
    rng = np.random.default_rng(rows + columns)
    steps = [(z, sum_of_kinds(rng)) for z in (12, 31, 32, 55, 71)]
    case = stepped(80, rows, columns, steps, wrong=0.05, on_the_spot=on_the_spot)
    check(case, steps, run(case))


def sum_of_kinds(rng):
    """All kinds, each by a random amount of at least a quarter of its largest."""
    a, b, c, d = rng.choice([-1, 1], 4) * rng.uniform(0.25, 1, 4)
    shear = np.array([[1, 0.02 * d], [0, 1]])
    return turn(3 * a) * (1 + 0.05 * b) @ np.diag([1, 1 + 0.03 * c]) @ shear


@pytest.mark.parametrize(("model", "matrix"), [("rigid", turn(2)), ("similarity", 1.02 * turn(2))])
def test_a_step_of_a_stiffer_model_is_what_the_model_can_express(model, matrix):
    steps = [(21, matrix)]
    case = stepped(40, 2, 2, steps)
    solved = run(case, Options(model=model))
    change = errors_of_steps(case, solved.placement)
    assert change[19] <= np.delete(change, 19).max() + 0.1
    linear = solved.placement[:, :, :2] / case.tiles.scale
    shape = linear.transpose(0, 2, 1) @ linear
    assert np.abs(shape - shape[:, :1, :1] * np.eye(2)).max() < 1e-9


def test_a_volume_without_steps_has_one_run():
    for seed in range(3):
        case = stepped(60, 1, 2, [], wrong=0.05, seed=seed)
        assert len(run(case, restarts=[20, 40]).reference.linear) == 1


def test_a_run_of_layers_whose_nearest_pairs_are_wrong_is_no_step():
    case = stepped(60, 1, 1, [])
    p, q = case.pairs
    z = case.tiles.z
    near = (z[p] >= 20) & (z[q] <= 30) & (z[q] - z[p] == 1)
    bend = np.eye(2) + 0.05 * np.random.default_rng(0).standard_normal((near.sum(), 2, 2))
    moments = case.moments
    qq, pq = moments.qq.copy(), moments.pq.copy()
    qq[near] = bend @ qq[near] @ bend.transpose(0, 2, 1)
    pq[near] = pq[near] @ bend.transpose(0, 2, 1)
    case = replace(case, moments=replace(moments, qq=qq, pq=pq), wrong=near)
    solved = run(case)
    assert len(solved.reference.linear) == 1
    assert (solved.factor == 0).tolist() == near.tolist()


def test_what_the_header_says_of_the_pixel_is_no_step():
    """The stage transforms of the second half are larger by 5 %, and the matches agree."""
    matrix = 1.05 * np.eye(2)
    case = stepped(40, 1, 2, [(21, matrix)])
    stage = case.tiles.stage.copy()
    middle = stage[:, :, 2].mean(axis=0)
    stage[case.tiles.z >= 21] = matrix @ stage[case.tiles.z >= 21]
    stage[case.tiles.z >= 21, :, 2] += middle - matrix @ middle
    case = replace(case, tiles=replace(case.tiles, stage=stage))
    solved = run(case)
    check(case, [(21, matrix)], solved)
    assert len(solved.reference.linear) == 1
    scale = np.sqrt(np.linalg.det(solved.placement[:, :, :2])) / case.tiles.scale
    assert scale[case.tiles.z >= 21].mean() == pytest.approx(1.05, abs=1e-3)


def test_where_all_matches_across_a_boundary_are_wrong_there_was_a_step(monkeypatch):
    """Whatever the search for steps says: here it is blind."""
    monkeypatch.setattr(found_steps, "STEP_FACTOR", 1e9)
    steps = [(21, KINDS["scale -5 %"]), (33, KINDS["rotation 3 deg"])]
    case = stepped(50, 1, 1, steps, wrong=0.05)
    solved = run(case)
    assert len(solved.reference.linear) == 3
    check(case, steps, solved)


def test_layers_are_torn_where_nearly_all_pairs_to_those_before_are_wrong():
    p, q = np.triu_indices(9, 1)
    p, q = p[q - p < 4], q[q - p < 4]
    across = (p < 5) & (q >= 5)
    assert robust.torn(across, p, q, 9).tolist() == [5]
    half = across & (np.cumsum(across) % 2 == 0)
    assert robust.torn(half, p, q, 9).tolist() == []
    assert robust.torn(np.zeros(len(p), bool), p, q, 9).tolist() == []


def trending(case, trend):
    """The same matches of tissue that changes by a matrix from layer to layer."""
    p, q = case.pairs
    apart = (case.tiles.z[q] - case.tiles.z[p])[:, None, None]
    bend = np.eye(2) + apart * trend
    moments = case.moments
    qq = bend @ moments.qq @ bend.transpose(0, 2, 1)
    return replace(case, moments=replace(moments, qq=qq, pq=moments.pq @ bend.transpose(0, 2, 1)))


STIFF = Options(shape_sd=1e-5, rotation_sd=1e-5)  # tiles that do not follow their tissue
FREE = Options(shape_sd=1, rotation_sd=1, rigid_lambda=1e-6, stage_wavelength_layers=1e5)
TREND = np.array([[2e-3, -1e-3], [1e-3, -1.5e-3]])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_step_is_told_from_the_trend_of_the_tissue(seed):
    """By the trend of one layer the corners move by 5 px."""
    steps = [(16, turn(1))]
    case = trending(stepped(30, 1, 2, steps, seed=seed), TREND)
    solved = run(case, STIFF)
    check(case, steps, solved)
    step = solved.reference.linear[1] @ np.linalg.inv(solved.reference.linear[0])
    assert step == pytest.approx(turn(1), abs=1e-3)


def test_a_trend_that_tiles_follow_stays_in_their_pairs():
    case = trending(stepped(30, 1, 1, [(16, turn(1))]), TREND)
    graph = graph_of(case.tiles, case.moments, Options().weighting)
    taken = []
    for options in (STIFF, FREE):
        solved = solve(case.tiles, graph, options)
        runs = solved.reference.runs
        assert len(runs.linear) == 2
        found = found_steps.detrended(case.tiles, graph, solved.placement, runs, cutoff=3.0)
        taken.append(np.abs(found.spq - graph.spq).max())
    assert taken[1] < taken[0] / 5


def test_a_volume_without_steps_keeps_its_trend():
    case = trending(stepped(30, 1, 2, []), TREND)
    assert len(run(case, STIFF).reference.linear) == 1


def test_a_single_pair_of_little_tissue_makes_no_step():
    """It agrees with itself; where one pair is all that there ever is, it has to do."""
    n = np.arange(12)
    p, q = np.concatenate([n[:-1], n[:-2]]), np.concatenate([n[1:], n[2:]])
    empty = np.zeros((len(p), 2, 2))
    ones, own = np.ones(len(p)), np.ones(len(p), bool)
    cell = np.zeros(len(p), np.int64)
    pairs = found_steps._Pairs(p, q, cell, own, ones, ones, empty, empty, empty)
    good = own.copy()
    assert found_steps._confirmed(pairs, good, 12).tolist() == [False] + [True] * 11
    good[(p < 5) & (q >= 5)] = [True, False, False]
    assert not found_steps._confirmed(pairs, good, 12)[5]
    copies = replace(pairs, own=~((p == 3) | (q == 3)))
    assert not found_steps._confirmed(copies, own, 12)[3]
    chain = found_steps._Pairs(
        n[:-1], n[1:], cell[:11], own[:11], ones[:11], ones[:11], *[empty[:11]] * 3
    )
    assert found_steps._confirmed(chain, own[:11], 12)[1:].all()


def test_tissue_that_runs_in_each_cell_another_way_behind_a_gap_is_no_step():
    """The microscope turns all cells alike."""
    rng = np.random.default_rng(3)
    tiles = graphs.grid(14, 1, 3)
    placement = tiles.placements(graphs.truth_of(tiles, rng))
    own = [np.eye(2), turn(2), np.array([[1, -0.03], [0.02, 0.98]])]
    for column, matrix in enumerate(own):
        late = (tiles.z >= 9) & (tiles.column == column)
        placement[late, :, :2] = matrix @ placement[late, :, :2]
    case = graphs.of_truth(tiles, tiles.affines(placement), rng, noise=NOISE)
    graph = graph_of(tiles, case.moments, Options().weighting)
    found = found_steps.runs_of(tiles, graph, cutoff=3.0, model="affine")
    assert len(found.linear) == 1


@pytest.mark.parametrize(("tissue_px", "runs"), [(0.0, 2), (1.2, 1)])
def test_a_step_moves_points_by_more_than_tissue_behind_a_gap_does(tissue_px, runs):
    """All pairs across a gap show one affine; it is a step where they leave no more than others."""
    rng = np.random.default_rng(5)
    tiles = synthetic.grid(range(1, 15), 1, 1)
    matrix = np.array([[1.02, 0.02], [-0.01, 0.99]])

    def seen(one):
        low, high = sorted(float(name[8:]) for name in (one.p_id, one.q_id))
        if not low < 9 <= high:
            return one
        late = "q" if float(one.q_id[8:]) == high else "p"
        points = (getattr(one, late) - 119.5) @ matrix.T + 119.5
        own = np.random.default_rng(int(low)).normal(0, tissue_px + 1e-9, points.shape)
        return replace(one, **{late: points + own})

    stage = synthetic.stage_of(tiles)
    pairs = [seen(one) for one in synthetic.matches(tiles, stage, rng, reach=3, noise=0.2)]
    arrays = tiles_of([tiles])
    graph = graph_of(arrays, of_matches(pairs), Options().weighting)
    found = found_steps.runs_of(arrays, graph, cutoff=3.0, model="affine")
    assert len(found.linear) == runs


def test_a_step_in_a_short_stack_of_tissue_that_changes_is_found():
    """Nearly all far pairs cross the middle of it, and leave far more than near ones."""
    rng = np.random.default_rng(6)
    tiles = synthetic.grid(range(1, 15), 1, 1)
    matrix = 1.01 * turn(0.2)

    def seen(one):
        low, high = sorted(float(name[8:]) for name in (one.p_id, one.q_id))
        late = "q" if float(one.q_id[8:]) == high else "p"
        points = getattr(one, late)
        if low < 8 <= high:
            points = (points - 119.5) @ matrix.T + 119.5
        tissue = np.random.default_rng([int(low), int(high)])
        own = tissue.normal(0, 0.4 * (high - low - 1) + 1e-9, points.shape)
        return replace(one, **{late: points + own})

    stage = synthetic.stage_of(tiles)
    pairs = [seen(one) for one in synthetic.matches(tiles, stage, rng, reach=6, noise=0.2)]
    arrays = tiles_of([tiles])
    graph = graph_of(arrays, of_matches(pairs), Options().weighting)
    found = found_steps.runs_of(arrays, graph, cutoff=3.0, model="affine")
    assert (np.flatnonzero(np.diff(found.run)) + 2).tolist() == [8]


def test_what_is_usual_is_told_by_enough_pairs_of_one_distance():
    apart = np.array([1.0] * 6 + [2.0] * 3)
    left = np.array([0.2, 0.3, 0.2, 0.3, 0.2, 5.0, 1.0, 1.0, 1.0])
    empty, at = np.tile(np.eye(2), (9, 1, 1)), np.zeros(9, np.int64)
    own = np.ones(9, bool)
    pp = left[:, None, None] ** 2 / 2 * np.eye(2)
    pairs = found_steps._Pairs(at, at, at, own, apart, own, pp, empty, 0 * empty)
    assert pairs.left() == pytest.approx(left)
    most = found_steps._most_left(pairs, own)
    assert most[:6] == pytest.approx(0.25 + 3 * 1.4826 * 0.05)
    assert (most[6:] == 0).all()  # too few


def test_far_pairs_count_by_what_tissue_changes_over_their_distance():
    """They miss by so many times as much: 0.43, 1.0, 1.6 px at 1, 2, 3 layers of FIB-25."""
    case = stepped(12, 1, 1, [])
    graph = graph_of(case.tiles, case.moments, Options().weighting)
    pairs = found_steps._Pairs.of(case.tiles, graph, np.arange(12))
    near, far = (pairs.weight[pairs.apart == k].mean() for k in (1, 3))
    assert far == pytest.approx(near / 9)
