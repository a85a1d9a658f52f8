"""Cost of the solve: the graph of a whole volume, 108,155 tiles in 21,631 layers of five.

The task: tiles with 735,349 pairs up to six layers apart, 20 points each with 0.5 px of noise (and
5 % of the pairs wrong by 5 to 500 px where the solve is robust). Every solve runs in a process of
its own, so that its peak of memory is its own: interpreter, libraries and the moments it reads
included. CPU seconds and peak begin with the moments as arrays and end with the placements.

* linear: one weighted least-squares solve, affine; beside it the same system, put together alike,
  by plain `scipy.sparse.linalg.splu` with its defaults.
* robust: moments gathered from the embedded service by two processes, the whole robust solve with
  all its re-weightings, the stack saved.
* wide: the linear solve of a montage of 12 x 12 tiles in 188 layers, and the robust one of the same
  montage with wrong pairs.
"""

import json
import multiprocessing
import os
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from bokeh.plotting import output_file, save
from scipy.sparse.linalg import splu

from scripts.lib.array_files import read_columns, write_columns
from scripts.lib.pages.plots import frame
from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import Leaf, TileSet, TileSpec
from scripts.lib.transforms import AFFINE
from scripts.render_ws import matches
from scripts.render_ws.store import Store
from scripts.solve import moments, solver, system
from scripts.solve.aligned import aligned
from scripts.solve.graph import Tiles, graph_of, solution
from tests.benchmarks.conftest import ROOT
from tests.solve import graphs

LARGE = {True: (21_631, 1, 5), False: (24, 1, 5)}
WIDE = {True: (188, 12, 12), False: (6, 3, 3)}
CHAIN = {True: 25_000, False: 300}  # layers
WAVELENGTH = {True: 500.0, False: 30.0}  # of the stage prior; the first is the default
WRONG = {True: 4_000, False: 40}  # layers
COUNTS = {True: (15_000, 30_000, 60_000, 120_000, 240_000), False: (50, 100)}
POINTS = 20


def own_process(bench, work, *arguments):
    """Call `work` in a fresh process when measuring, so that its peak of memory is its own."""
    if not bench.measuring:
        return work(*arguments)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def in_two_processes(bench, work, tasks):
    if not bench.measuring:
        return [work(*task) for task in tasks]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, *zip(*tasks, strict=True)))


def write_case(folder, case):
    arrays = {f"tiles_{f.name}": getattr(case.tiles, f.name) for f in fields(Tiles)}
    np.savez(folder / "tiles.npz", **arrays)
    write_columns(folder / "moments.npz", case.moments)
    return str(folder)


def read_case(folder):
    with np.load(f"{folder}/tiles.npz") as stored:
        values = {f.name: stored[f"tiles_{f.name}"] for f in fields(Tiles)}
    tiles = Tiles(**{**values, "scale": float(values["scale"])})
    return tiles, read_columns(f"{folder}/moments.npz", moments.Moments)


def peak_mb():
    """Peak of this process; ru_maxrss would begin with that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [one for one in status.read_text().splitlines() if one.startswith("VmHWM")]
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def solve_linear(folder):
    tiles, pairs = read_case(folder)
    start = time.process_time()
    options = solver.Options()
    graph = graph_of(tiles, pairs, options.weighting)
    placement = solver.linear(tiles, graph, options)
    return time.process_time() - start, peak_mb(), placement


def solve_robust(folder):
    tiles, pairs = read_case(folder)
    start = time.process_time()
    options = solver.Options()
    graph = graph_of(tiles, pairs, options.weighting)
    solved = solver.solve(tiles, graph, options)
    return time.process_time() - start, peak_mb(), solved.placement, solved.iterations


def solve_superlu(folder):
    """The same, the system by plain `splu`: its defaults, no knowledge of bands or symmetry."""

    def plain(layout, diagonal, off):
        factor = splu(system.matrix_of(layout, diagonal, off))
        return lambda rhs: factor.solve(rhs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(system.METHODS, "banded", plain)
        return solve_linear(folder)


def case_folder(tmp_path_factory, shape, **options):
    case = graphs.case(*shape, points=POINTS, **options)
    return case, write_case(tmp_path_factory.mktemp("graph"), case)


def error_px(case, placement):
    """Rms change of the error of the tile centres from a layer to the next, px."""
    wanted = case.tiles.placements(case.truth)[:, :, 2]
    error = (placement[:, :, 2] - wanted).reshape(len(np.unique(case.tiles.z)), -1, 2)
    return float(np.sqrt((np.diff(error, axis=0) ** 2).sum(axis=-1).mean()))


@pytest.fixture(scope="module")
def large(bench, tmp_path_factory):
    return case_folder(tmp_path_factory, LARGE[bench.measuring])


def test_linear(bench, large):
    case, folder = large
    cpu_s, peak, placement = own_process(bench, solve_linear, folder)
    plain_s, plain_mb, other = own_process(bench, solve_superlu, folder)
    bench.row("solve.linear.cpu_s", cpu_s, "CPU s", better="lower", splu=plain_s)
    bench.row("solve.linear.peak_mb", peak, "MB", better="lower", splu=plain_mb)
    bench.row("solve.linear.times_faster_than_splu", plain_s / cpu_s, "times", better="higher")
    assert np.abs(placement - other).max() < 1e-5
    assert error_px(case, placement) < 0.5


def test_wide_montage(bench, tmp_path_factory):
    case, folder = case_folder(tmp_path_factory, WIDE[bench.measuring])
    cpu_s, peak, placement = own_process(bench, solve_linear, folder)
    bench.row("solve.wide.cpu_s", cpu_s, "CPU s", better="lower")
    bench.row("solve.wide.peak_mb", peak, "MB", better="lower")
    assert error_px(case, placement) < 0.5


def test_wide_montage_with_wrong_pairs(bench, tmp_path_factory):
    shape = WIDE[bench.measuring]
    case, folder = case_folder(tmp_path_factory, shape, wrong=0.05, seed=3)
    cpu_s, peak, placement, iterations = own_process(bench, solve_robust, folder)
    beside = {"reweightings": sum(iterations.values())}
    bench.row("solve.wide_robust.cpu_s", cpu_s, "CPU s", better="lower", **beside)
    bench.row("solve.wide_robust.peak_mb", peak, "MB", better="lower")
    assert error_px(case, placement) < 0.5


# ---------------------------------------------------------------------------------------------
# the whole: gather, solve robustly, save
# ---------------------------------------------------------------------------------------------


def specs(tiles):
    stage = tiles.affines(tiles.stage)
    side = int(graphs.SIDE)
    return TileSet(
        tuple(
            TileSpec(
                tile_id=str(name),
                z=float(z),
                width=side,
                height=side,
                image_url=f"file:///d/{z:g}.h5?dataSet=/0-0-{column}/mipmap.0&z=0",
                transforms=(Leaf(AFFINE, f"1 0 0 1 {affine[0, 2]} {affine[1, 2]}"),),
                row=int(row),
                column=int(column),
            )
            for name, z, row, column, affine in zip(
                tiles.ids, tiles.z, tiles.row, tiles.column, stage, strict=True
            )
        )
    )


def fill(url, case, rng):
    """Put tiles and matches into the embedded service; how they got there is not measured."""
    client = RenderClient("bench", "bench", base_url=url)
    client.publish_stack("trimmed", specs(case.tiles), resolution_nm=(8.0, 8.0, 8.0))
    client.close()
    store, tiles = Store(url.removeprefix("sqlite:///")), case.tiles
    groups = [f"{z}" for z in tiles.z.tolist()]
    for start in range(0, len(case.moments), 20_000):
        some = slice(start, start + 20_000)
        p, q = case.pairs[0][some], case.pairs[1][some]
        x, y = graphs.points_of(tiles, case.truth, p, q, case.wrong[some], rng, POINTS, 0.5)
        points = np.ones((len(p), 5, POINTS))  # weights of 1 in the last row
        points[:, :2], points[:, 2:4] = x.transpose(0, 2, 1), y.transpose(0, 2, 1)
        rows = []
        for i, j, one in zip(p.tolist(), q.tolist(), points, strict=True):
            names = (groups[i], str(tiles.ids[i]), groups[j], str(tiles.ids[j]))
            (a, c, b, d), swapped = matches.ordered(names)
            one = one[[2, 3, 0, 1, 4]] if swapped else one
            rows.append((a, b, c, d, POINTS, None, matches.pack(one)))
        with store.writing() as db:
            matches.save(db, matches.CollectionKey("bench", "c"), rows)
    store.close()


def gather(url, first, last, reach=6):
    """One chunk as `gather_moments` does it."""
    client = RenderClient("bench", "bench", base_url=url)
    found = moments.gathered(client, "c", first, last, reach=reach)
    client.close()
    return found, peak_mb(), time.process_time()


def save_stack(url, affines):
    client = RenderClient("bench", "bench", base_url=url)
    tiles = aligned(client.tiles("trimmed"), affines)
    client.publish_stack("align", tiles, resolution_nm=(8.0, 8.0, 8.0))
    client.close()
    return peak_mb(), time.process_time()


def test_gathered_solved_robustly_and_saved(bench, tmp_path_factory):
    case, folder = case_folder(tmp_path_factory, LARGE[bench.measuring], wrong=0.05, seed=1)
    url = f"sqlite:///{folder}/r.db"
    fill(url, case, np.random.default_rng(5))
    layers = LARGE[bench.measuring][0]
    edges = np.unique(np.linspace(0, layers, 17 if bench.measuring else 3).astype(int))
    chunks = [(url, int(a) + 1, int(b)) for a, b in zip(edges, edges[1:], strict=False)]
    start = time.perf_counter()
    parts = in_two_processes(bench, gather, chunks)
    gathered_s = time.perf_counter() - start
    write_columns(f"{folder}/moments.npz", moments.joined([part for part, *_ in parts]))
    cpu_s, peak, placement, iterations = own_process(bench, solve_robust, folder)
    solved_s = time.perf_counter() - start - gathered_s
    save_mb, save_cpu_s = own_process(bench, save_stack, url, dict(solution(case.tiles, placement)))
    wall_s = time.perf_counter() - start
    beside = {"gather": gathered_s, "solve": solved_s, "save": wall_s - gathered_s - solved_s}
    beside["load average of the machine"] = os.getloadavg()[0]
    bench.row("solve.robust.wall_s", wall_s, "s", better="lower", **beside)
    bench.row("solve.robust.cpu_s", cpu_s, "CPU s", better="lower")
    # of the two processes that gather, the last chunk of each tells
    gather_cpu_s = sum(sorted(seconds for *_, seconds in parts)[-2:])
    bench.row("solve.gather.cpu_s", gather_cpu_s, "CPU s", better="lower")
    bench.row("solve.save.cpu_s", save_cpu_s, "CPU s", better="lower")
    # what two cores without other work would need: gathering is shared by both
    sum_s = gather_cpu_s / 2 + cpu_s + save_cpu_s
    bench.row("solve.robust.wall_s_of_two_free_cores", sum_s, "s", better="lower")
    bench.row("solve.robust.reweightings", sum(iterations.values()), "count", better="lower")
    every = {"gather": max(mb for _, mb, _ in parts), "solve": peak, "save": save_mb}
    bench.row("solve.robust.peak_mb", max(every.values()), "MB", better="lower", **every)
    assert error_px(case, placement) < 0.5


# ---------------------------------------------------------------------------------------------
# known truth
# ---------------------------------------------------------------------------------------------


def solved(case, **options):
    options = solver.Options(**options)
    graph = graph_of(case.tiles, case.moments, options.weighting)
    return solver.solve(case.tiles, graph, options).placement


def long_waves(values, layers):
    """Rms of (n,) values without waves shorter than `layers`."""
    spectrum = np.fft.rfft(np.concatenate([values, values[::-1]]))  # no step at the ends
    spectrum[np.fft.rfftfreq(2 * len(values)) > 1 / layers] = 0
    return float(np.sqrt((np.fft.irfft(spectrum, 2 * len(values)) ** 2).mean()))


def test_long_chain_keeps_scale_and_does_not_bend(bench):
    """The truth is straight, and the stage says so: what bends is the solve's own."""
    layers, wavelength = CHAIN[bench.measuring], WAVELENGTH[bench.measuring]
    case = graphs.case(layers, 1, 1, drift=0.0, linear=0.0)
    bends = {}
    for name, prior in (("prior", wavelength), ("no prior", 1e6)):
        placement = solved(case, stage_wavelength_layers=prior)
        error = (placement - case.tiles.placements(case.truth))[:, :, 2]
        error -= error.mean(axis=0)
        bends[name] = max(long_waves(error[:, axis], 4 * wavelength) for axis in (0, 1))
        if name == "prior":
            scale = np.linalg.norm(placement[:, :, :2] / case.tiles.scale, axis=1)
            scale_error, farthest = np.abs(scale - 1).max(), np.abs(error).max()
    bench.row("solve.long_chain.scale_error_max", scale_error, "share", better="lower")
    beside = {"without the prior": bends["no prior"]}
    bench.row("solve.long_chain.bend_rms_px", bends["prior"], "px", better="lower", **beside)
    bench.row("solve.long_chain.farthest_px", farthest, "px", better="lower")
    assert scale_error < 3e-3
    assert bends["prior"] < 0.2


def test_wrong_pairs_against_the_solution_without_them(bench):
    case = graphs.case(WRONG[bench.measuring], 1, 5, wrong=0.05, seed=7)
    clean = replace(case, moments=case.moments.take(~case.wrong))
    with_them, without = (error_px(case, solved(one)) for one in (case, clean))
    found = solver.Options(robust="none")
    graph = graph_of(case.tiles, case.moments, found.weighting)
    plain = error_px(case, solver.solve(case.tiles, graph, found).placement)
    beside = {"not robust": plain / without}
    bench.row("solve.wrong_pairs.error", with_them / without, "times", better="lower", **beside)
    assert with_them < 1.05 * without


# ---------------------------------------------------------------------------------------------
# against the number of tiles
# ---------------------------------------------------------------------------------------------


def test_cost_against_number_of_tiles(bench, tmp_path_factory):
    found = []
    for count in COUNTS[bench.measuring]:
        # eight tiles a layer, as in the largest volumes known: 240,000 tiles in 30,000 layers
        case, folder = case_folder(tmp_path_factory, (count // 8, 2, 4))
        cpu_s, peak, _ = own_process(bench, solve_linear, folder)
        found.append({"tiles": len(case.tiles), "cpu_s": cpu_s, "peak_mb": peak})
    last = found[-1]
    bench.row(f"solve.linear.cpu_s.{last['tiles']}_tiles", last["cpu_s"], "CPU s", better="lower")
    bench.row(f"solve.linear.peak_mb.{last['tiles']}_tiles", last["peak_mb"], "MB", better="lower")
    if bench.measuring:
        plot_cost(found)


def plot_cost(found):
    folder = ROOT / "build/bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "solve_cost.json").write_text(json.dumps({"linear": found}, indent=1) + "\n")
    plot = frame("One linear solve, eight tiles a layer", "tiles", "CPU s", height=400)
    x = [one["tiles"] for one in found]
    plot.line(x, [one["cpu_s"] for one in found], line_width=2)
    plot.scatter(x, [one["cpu_s"] for one in found], size=8)
    output_file(folder / "solve_cost.html", title="Cost of the solve", mode="inline")
    save(plot)
