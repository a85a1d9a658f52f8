"""An input that is none comes to a job as an empty list."""

import numpy as np

from scripts.solve import solve_transforms
from scripts.solve.graph import graph_of, tiles_of
from scripts.solve.moments import of_matches
from scripts.solve.solver import Options
from tests.solve import synthetic


def test_without_a_stack_that_is_taken_over_the_volume_is_solved():
    options, rng = Options(), np.random.default_rng(3)
    specs = synthetic.grid(range(1, 5), 1, 2)
    pairs = synthetic.matches(specs, synthetic.shaken(specs, rng), rng)
    tiles = tiles_of([specs])
    graph = graph_of(tiles, of_matches(pairs), options.weighting)
    found = [solve_transforms._solved(tiles, graph, options, [], none)[1] for none in (None, [])]
    assert found[0] == found[1]
    assert len(found[0]) == 8
