"""The solve on the geometry of simulated acquisitions, scored by the rule of the simulator."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import geometry, transforms
from scripts.lib.files import read_json
from scripts.lib.service.records import CanvasMatches, Leaf, TileSet
from scripts.lib.truth import score, solved_tiles
from scripts.solve.graph import Weighting, graph_of, solution, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options, solve
from tests.solve import synthetic

GENERATOR = Path(__file__).parents[3] / "shared" / "data" / "make_misaligned.py"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not GENERATOR.exists(), reason=f"{GENERATOR.name} is not beside the project"
    ),
]


def generator():
    spec = importlib.util.spec_from_file_location("make_misaligned", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_misaligned"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def acquisition(seed):
    """Truth, tiles at their stage positions (resin and corrupt ones left out), true affines."""
    simulator = generator()
    parameters = simulator.Params(seed=seed, overlap=0.2, layers=80)
    truth = simulator.make_truth(parameters, (250, 250, 250))
    scan = Leaf(transforms.SEM_DISTORTION_A, truth["scan_correction"]["dataString"])
    tiles, affines = [], {}
    for one in truth["tiles"]:
        if one["kind"] == "tissue" and not one["corrupt"]:
            where = (one["layer"] + 1, one["row"], one["column"])
            tile = synthetic.tile(*where, stage=one["stage_xy"], scan=scan.data)
            tiles.append(tile)
            affines[tile.tile_id] = geometry.from_wire(one["true_affine"])
            one["tile_id"] = tile.tile_id
    return truth, TileSet(tuple(tiles)), affines


@pytest.mark.parametrize("seed", [1, 2])
def test_matches_with_noise_give_a_fifth_of_the_error_of_the_stage(seed):
    truth, tiles, affines = acquisition(seed)
    rng = np.random.default_rng(seed)
    pairs = synthetic.matches(tiles, affines, rng, points=30, noise=0.4, wrong=0.03)
    arrays = tiles_of([tiles])
    options = Options()
    graph = graph_of(arrays, of_matches(pairs), options.weighting)
    got = score(truth, {"tiles": solution(arrays, solve(arrays, graph, options).placement)})
    stage = {k: geometry.to_wire(v) for k, v in synthetic.stage_of(tiles).items()}
    nominal = score(truth, {"tiles": stage})
    assert got["relative"]["rms"] < 0.15
    assert got["absolute"]["rms"] < 0.2 * nominal["absolute"]["rms"]


CASE = GENERATOR.parent / "cases" / "montage-outvoted"


def outvoted():
    """Truth, tiles and pairs of a volume whose far pairs pull two rows of tiles apart."""
    parts = ("truth", "resolved_tiles", "matches")
    truth, tiles, pairs = (read_json(CASE / f"{part}.json.gz") for part in parts)
    arrays = tiles_of([TileSet.from_json(tiles)])
    return truth, arrays, of_matches([CanvasMatches.from_json(pair) for pair in pairs])


@pytest.mark.parametrize(("weighting", "worst"), [(Weighting(), 0.5), (Weighting(2.0, 1.0), 1.0)])
def test_right_montage_pairs_are_not_outvoted_by_the_many_far_pairs(weighting, worst):
    """By count of pairs 16 to 25 of them leave, and the rows drift 3.8 px apart from z 30 on."""
    truth, tiles, moments = outvoted()
    graph = graph_of(tiles, moments, weighting)
    found = solve(tiles, graph, Options(weighting=weighting))
    solved = {"tiles": solved_tiles(solution(tiles, found.placement))}
    got = generator().score(truth, solved, with_seams=True)
    assert got["seams"]["max"] < worst
    assert ((found.factor == 0) & (graph.dz == 0)).sum() <= 1


def test_the_default_weights_leave_no_more_than_near_pairs_alone():
    """Figures of the same volume with pairs of one and two layers only, before."""
    truth, tiles, moments = outvoted()
    found = solve(tiles, graph_of(tiles, moments, Weighting()), Options())
    solved = {"tiles": solved_tiles(solution(tiles, found.placement))}
    got = generator().score(truth, solved, with_seams=True)
    assert got["relative"]["rms"] <= 0.176
    assert got["absolute"]["rms"] <= 0.60
    assert got["seams"]["rms"] <= 0.10
