"""Review at the size of a large volume: clusters from the embedded service, and the page."""

import shutil
import subprocess
import time

import numpy as np
import pytest

from scripts.lib.service.client import RenderClient
from scripts.lib.service.records import CanvasMatches, TileSpec
from scripts.review import clusters, edges, page, plots, statistics

TILES, PAIRS = 108_155, 715_143  # VNC Sec26, a volume of the reference
CELLS, REACH = 5, 6
FULL, SMALL = 1, 300  # the small form is so many times smaller


@pytest.fixture(scope="module")
def graph(bench, tmp_path_factory):
    """A row of five cells: tiles, and pairs (p, q as positions) as section 3 plans them."""
    less = FULL if bench.measuring else SMALL
    layers, most = TILES // less // CELLS, PAIRS // less
    z, column = np.divmod(np.arange(layers * CELLS), CELLS)
    tiles = [
        TileSpec(f"t_{k:06d}_0-0-{c}.{k + 1}.0", float(k + 1), 9000, 4000, "file:///none", (),
                 column=int(c))
        for k, c in zip(z.tolist(), column.tolist(), strict=True)
    ]  # fmt: skip
    at = np.arange(len(tiles))
    beside = at[column < CELLS - 1]
    p, q = [beside], [beside + 1]
    for d in range(1, REACH + 1):
        p.append(at[: -d * CELLS])
        q.append(at[d * CELLS :])
    p, q = np.concatenate(p)[:most], np.concatenate(q)[:most]
    # one tile without any pair, and one cell that is not joined to the rest for a while
    lonely, apart = len(tiles) // 2, (column == 2) & (z > 0.9 * layers)
    keep = (p != lonely) & (q != lonely) & (apart[p] == apart[q])
    p, q = p[keep], q[keep]
    client = RenderClient("o", "p", base_url=f"sqlite:///{tmp_path_factory.mktemp('db')}/r.db")
    point, weight = np.zeros((1, 2)), np.ones(1)
    for part in np.array_split(np.argsort(p, kind="stable"), max(1, len(p) // 20_000)):
        client.put_matches(
            "m",
            [
                CanvasMatches(tiles[i].section_id, tiles[i].tile_id, tiles[j].section_id,
                              tiles[j].tile_id, point, point, weight)
                for i, j in zip(p[part].tolist(), q[part].tolist(), strict=True)
            ],
        )  # fmt: skip
    return client, tiles, p, q


def test_clusters_with_reading_of_the_matches(bench, graph):
    client, tiles, p, q = graph
    found = {}

    def work():
        net = clusters.net_of_ids(tiles, client.match_ids("m"))
        found["net"], found["label"] = net, clusters.labels(net, np.zeros(len(tiles), bool))

    seconds = bench.cpu_s(work, repeats=1)
    assert len(found["net"].p) == len(p)
    assert (found["label"] == 0).sum() == 1
    assert found["label"].max() == 2
    gap = max(edges.gaps(found["net"], found["label"] == 0), key=lambda one: one["layers"])
    assert gap["layers"] == (found["label"] == 2).sum()
    bench.row("review.clusters_100k_s", seconds, "CPU s", better="lower",
              tiles=len(tiles), pairs=len(p))  # fmt: skip


def opened(browser, path):
    """Seconds from the start of the browser until the page is drawn, plots and all."""
    picture = path.with_suffix(".png")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,3000")
    start = time.perf_counter()
    command = [browser, *options, f"--screenshot={picture}", path.as_uri()]
    subprocess.run(command, capture_output=True, check=True)
    assert picture.stat().st_size > 0
    return time.perf_counter() - start


def test_the_page_of_a_large_volume(bench, graph, tmp_path):
    _, tiles, p, q = graph
    rng = np.random.default_rng(1)
    good = rng.random(len(p)) < 0.97
    text = {
        "p_group": [tiles[i].section_id for i in p], "p_id": [tiles[i].tile_id for i in p],
        "q_group": [tiles[i].section_id for i in q], "q_id": [tiles[i].tile_id for i in q],
        "run": ["cross"] * len(p), "stage": ["one"] * len(p),
        "p_cell": [f"0,{tiles[i].column}" for i in p],
        "q_cell": [f"0,{tiles[i].column}" for i in q],
        "dz": [f"{tiles[j].z - tiles[i].z:g}" for i, j in zip(p, q, strict=True)],
        "saved": [str(int(one)) for one in good],
        "count": [str(n) for n in np.where(good, rng.poisson(90, len(p)), 0)],
        "rms_px": ["0.5"] * len(p),
    }  # fmt: skip
    made = {}

    def work():
        pairs = statistics.of_columns(text)
        rows = [{k: str(v) for k, v in row.items()} for row in statistics.table(pairs)]
        figures = {
            "tiles": len(tiles), "pairs_saved": len(p), "pairs_attempted": len(p), "excluded": 0,
            "after": {"clusters": [], "unconnected": 1}, "excluded_auto": 0, "patches": 0,
            "kinds": {"resin": 0, "damaged": 0}, "patches_held": 0, "derived_pairs": 0,
        }  # fmt: skip
        made["text"] = page.page(
            volume="large", figures=figures, sections=[], proposals="exclude: []\n",
            tables=page.tables(figures, [], [], rows),
            plots=plots.all_plots(pairs, [100.0, 2000.0]),
        )  # fmt: skip

    seconds = bench.cpu_s(work, repeats=1)
    path = tmp_path / "index.html"
    path.write_text(made["text"])
    size = path.stat().st_size / 1e6
    assert size < 4  # 1.1 MB of it is the library of the plots
    bench.row("review.page_100k_s", seconds, "CPU s", better="lower")
    bench.row("review.page_100k_mb", size, "MB", better="lower")
    browser = shutil.which("chromium")
    if bench.measuring and browser:
        (tmp_path / "empty.html").write_text("<p>nothing</p>")
        seconds = {name: opened(browser, tmp_path / f"{name}.html") for name in ("empty", "index")}
        bench.row("review.page_100k_open_s", seconds["index"], "s", better="lower",
                  empty_page=seconds["empty"])  # fmt: skip
