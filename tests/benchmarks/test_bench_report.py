"""The report of 25,000 layers of 2 x 2 tiles: its size, and how long a browser takes to open it."""

import re

import numpy as np

from scripts.lib.pages import pictures as shapes
from scripts.report import page, plots, searched
from scripts.report.first_screen import Where
from scripts.report.gather import Evidence, Table
from tests import browser
from tests.report.conftest import acquisition, judge, run  # noqa: F401 - fixtures

LAYERS, CELLS = 25_000, ((0, 0), (0, 1), (1, 0), (1, 1))
FEW = 600  # where nothing is measured
MOST_MB = 15


def grown(table: Table, **columns) -> Table:
    """A table with the columns given, and zeros or empty texts in the others."""
    count = len(next(iter(columns.values())))
    kinds = {name: column.dtype.kind for name, column in table.columns.items()}
    rest = {
        name: np.full(count, "", object) if kind in "OU" else np.zeros(count, table[name].dtype)
        for name, kind in kinds.items()
    }
    return Table(rest | columns)


def large(evidence: Evidence, layers: int) -> Evidence:
    """Evidence of a run, as if it had so many layers."""
    rng = np.random.default_rng(0)
    z = np.repeat(np.arange(1, layers + 1), len(CELLS))
    row, column = (np.tile([cell[k] for cell in CELLS], layers) for k in (0, 1))
    ids = np.array(
        [
            f"24-{k // 1200000:02d}-07_{k % 240000:06d}_0-{r}-{c}.{k}.0"
            for k, r, c in zip(z, row, column, strict=True)
        ],
        object,
    )
    tile = {"tile_id": ids, "z": z, "row": row, "column": column}
    px = rng.gamma(2, 0.1, len(z))
    step = {"p_id": ids[:-4], "q_id": ids[4:], "z": z[:-4], "other_z": z[4:]}
    kind = np.full(len(z) - 4, "step", object)
    used = np.full(len(z) - 4, 9)
    moved = {
        "rms_px": px,
        "pairs": np.full(len(z), 12),
        "scale_x": np.ones(len(z)),
        "scale_y": np.ones(len(z)),
    }
    tables = dict(evidence.tables) | {
        "review": grown(
            evidence["review"],
            **tile,
            state=np.full(len(z), "ok", object),
            cluster=np.ones(len(z), int),
        ),
        "solved": grown(evidence["solved"], **tile, **moved),
        "misalignment": grown(
            evidence["misalignment"],
            **step,
            px=px[4:],
            error_px=px[4:] / 5,
            used=used,
            tried=used,
            kind=kind,
        ),
        "pairs": grown(
            evidence["pairs"],
            p_id=ids[:-4],
            q_id=ids[4:],
            rms_px=px[4:],
            dz=np.ones(len(kind), int),
        ),
    }
    results = grown(
        evidence.results, p_id=ids[:-4], q_id=ids[4:],
        p_group=z[:-4].astype(float), q_group=z[4:].astype(float),
        run=np.full(len(kind), "cross", object), saved=np.ones(len(kind), int),
        dz=np.ones(len(kind), int),
        count=np.full(len(kind), 300), rms_px=px[4:], stage=np.full(len(kind), "a", object),
    )  # fmt: skip
    qc = [{"z": k, "cc_next": 0.8, "delta_z": 1.0, "problem": None} for k in range(1, layers + 1)]
    documents = dict(evidence.documents) | {
        "qc": {"layers": qc, "figures": {"thickness_error_sd": 0.08}}
    }
    coords = {k: k + 0.2 * np.sin(k / 99) for k in range(1, layers + 1)}
    return Evidence(
        **{
            **vars(evidence),
            "tables": tables,
            "results": results,
            "documents": documents,
            "z_coords": coords,
        }
    )


@browser.needed
def test_a_report_of_25_000_layers_is_small_and_opens(run, tmp_path, benchmark, bench):  # noqa: F811
    layers = LAYERS if bench.measuring else FEW
    evidence = large(run[2], layers)
    figures, found = judge(evidence)
    rng = np.random.default_rng(1)
    # the pictures of a report of wide layers, of noise as strong as that of a detector
    sizes = [(400, 400)] * 20 + [(600, 1200)] * 6 + [(1400, 1400)] * 2
    noise = [rng.normal(128, 25, size).clip(0, 255).astype(np.uint8) for size in sizes]
    shown = [shapes.shown(each, "noise", form="WEBP") for each in noise]
    text = page.page(
        figures, findings=found, album={"transfer": shown}, plots=plots.all_plots(evidence),
        where=Where("/vol"), tiles=searched.index(evidence),
    )  # fmt: skip
    size_mb = len(text.encode()) / 1e6
    script = "const at = performance.now(); document.getElementById('query').value = 'z 500';"
    script += "document.getElementById('query').dispatchEvent(new Event('input'));"
    script += (
        "return {hits: document.getElementById('found').children.length, faults: window.faults,"
    )
    script += " ms: performance.now() - at};"
    found = benchmark.pedantic(browser.run, (text, script, tmp_path), rounds=1)
    print(f"{size_mb:.1f} MB, {found}")
    assert size_mb <= MOST_MB
    assert (found["hits"], found["faults"]) == (4, [])
    assert len(re.findall("<tr", text)) < 2000
