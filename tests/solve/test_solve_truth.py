"""The solve on the geometry of simulated acquisitions, scored by the rule of the simulator."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import geometry, transforms
from scripts.lib.service.records import Leaf, TileSet
from scripts.lib.truth import score
from scripts.solve.graph import graph_of, solution, tiles_of
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
    arrays = tiles_of(tiles)
    options = Options()
    graph = graph_of(arrays, of_matches(pairs), options.weighting)
    got = score(truth, {"tiles": solution(arrays, solve(arrays, graph, options).placement)})
    stage = {k: geometry.to_wire(v) for k, v in synthetic.stage_of(tiles).items()}
    nominal = score(truth, {"tiles": stage})
    assert got["relative"]["rms"] < 0.15
    assert got["absolute"]["rms"] < 0.2 * nominal["absolute"]["rms"]
