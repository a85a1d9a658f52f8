"""Layers in a wrong order are found by how alike they are, and nothing else is."""

import numpy as np
import pytest
import yaml

from scripts.ingest import declarations
from scripts.zcorr import infer_z, methods, order, qc
from tests.zcorr.synthetic import cut, measured, specimen
from tests.zcorr.test_zcorr_jobs import ZCORR

N = 24


@pytest.fixture(scope="module")
def layers():
    return cut(specimen((N + 8, 96, 96)), 3.0 + np.arange(N), noise=20)


def led(found, n):
    """Positions in the order that the moves lead to."""
    at = list(range(n))
    for one in found:
        at.remove(one.at)
        at.insert(at.index(one.after) + 1, one.at)
    return at


def interleaved():
    one, other = list(range(4, 12)), list(range(12, 20))
    mixed = [i for pair in zip(one, other, strict=True) for i in pair]
    return [*range(4), *mixed, *range(20, N)]


@pytest.mark.parametrize(
    ("lie", "count"),
    [
        (interleaved(), 7),
        ([*range(10), 11, 10, *range(12, N)], 1),
        ([*range(5), 6, 5, *range(7, 15), 16, 15, *range(17, N)], 2),
    ],
)
def test_layers_out_of_place_are_told_with_where_they_belong(layers, lie, count):
    seen = measured(list(layers[lie]))
    found = order.find(seen.band, seen.cell_band)
    assert [lie[i] for i in led(found, N)] == list(range(N))
    assert len(found) == count
    assert all(one.gain > 0.05 for one in found)
    result = methods.isotropic(seen, ZCORR)
    told = infer_z.report_of(seen, result, ZCORR)["order"]
    assert [row["z"] - seen.z[0] for row in told] == [one.at for one in found]


def test_runs_whose_ends_have_a_little_in_common_are_not_joined_there():
    """The last layers of both lie beside one another, the layers that follow out of reach."""
    lie = [0, 1, 8, 2, 9, 3, 10, 4, 11, 5, 12, 6, 13, 7, 14, 15]
    n, reach = len(lie), 6
    apart = np.array(
        [[abs(lie[min(i + k, n - 1)] - lie[i]) for k in range(1, reach + 1)] for i in range(n)]
    )
    there = np.arange(n)[:, None] + np.arange(1, reach + 1) < n
    band = np.where(there, 0.9 * 0.75 ** (apart - 1.0), np.nan)
    moves = order.find(band, np.full((n, reach, 16), 1e-4, np.float32))
    assert [lie[i] for i in led(moves, n)] == sorted(lie)


def test_layers_in_order_are_left(layers):
    rng = np.random.default_rng(0)
    noise = rng.uniform(60, 200, layers.shape)
    lost = np.delete(layers, [8, 9, 10], axis=0)
    damaged = layers.copy()
    damaged[[7, 15]] = noise[[7, 15]]
    missing = [None if z in (5, 12, 13) else one for z, one in enumerate(layers)]
    faint = 0.1 * layers + 0.9 * noise
    for stack in (layers, lost, damaged, missing, faint, noise, layers[:3], layers[:1]):
        seen = measured(list(stack))
        assert order.find(seen.band, seen.cell_band) == []


def test_what_is_within_the_error_is_no_disorder():
    """The farther pair is more alike by as much, with parts of a layer that agree or do not."""
    rng = np.random.default_rng(0)
    band = np.column_stack([np.full(20, 0.5), np.full(20, 0.4), np.full(20, 0.3)])
    band[8:11, 0], band[8:10, 1] = 0.42, 0.5  # as if 9 and 10 were swapped
    band[9, 0] = 0.5
    for parts, told in ((1e-3, 1), (3e-2, 0)):
        cells = parts * rng.standard_normal((20, 3, 16)).astype(np.float32)
        cells -= cells.mean(axis=2, keepdims=True)
        assert len(order.find(band, cells)) == told


def test_the_gate_stops_with_entries_that_the_config_takes():
    moved = [{"z": 3, "after": 4, "gain": 0.2}]
    layers = [{"z": str(z), "layer_id": f"M-1_24-03-07_10000{z}"} for z in range(1, 6)]
    report = {"layers": [{"z": 1, "problem": None}], "order": moved}
    judged = qc.gate(report, accepted=[], limit_pct=10)
    assert judged["status"] == "failed"
    text = order.refusal(judged["order"], layers)
    pasted = yaml.safe_load(text.partition("\n\n")[2].partition("\nor ")[0])["ingest"]["layers"]
    entry = declarations.parse(pasted).moves[layers[2]["layer_id"]]
    assert (entry.after, entry.renumber) == (layers[3]["layer_id"], True)
    assert qc.gate(report, accepted=[3], limit_pct=10)["status"] == "passed"
