"""Say what a volume will cost, before it is spent: jobs, core-hours, memory, wall time, space.

Reads names and sizes of the `.dat` files or `ingest/layers.tsv`, `benchmarks/`, `config/rates.tsv`.
Outputs: `estimate/estimate.json` and `.tsv` (a row for each rule), `estimate/estimate.txt` (what
the terminal shows), and `estimate/history.json`, all estimates so far, which the report compares
with what was used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import costs, files
from scripts.lib.job import job
from scripts.transfer import estimate, estimate_text, extent, fan_out, rates, storage


def main(
    *,
    config: dict[str, Any],
    dat_root: str,
    table: str,
    asked: estimate.Asked,
    limits: Mapping[str, Any],
    outputs: Mapping[str, str],
) -> None:
    """Measure, estimate, compare with earlier estimates, write."""
    work, known, side = Path.cwd(), rates.read(Path(table)), estimate.Limits(**limits)
    size = extent.measure(config, Path(dat_root), work)
    items = fan_out.items(known, size, config, costs.read(work / "benchmarks"))
    rows = estimate.rows(items, asked)
    stages = estimate.stages(items, rows, side)
    stored = storage.kinds(known, fan_out.units(size, config), size, config, work)
    before = estimate.earlier(Path(outputs["history"]))
    now = estimate.record(size, rows, storage.peak_gb(stored))
    found = estimate.found(before, rows)
    said = estimate_text.lines(size, stages, stored, side, found)
    files.write_table(outputs["table"], estimate.COLUMNS, rows)
    files.write_json(outputs["json"], estimate.document(now, stages, stored, found))
    files.write_text(outputs["text"], "\n".join([*said, ""]))
    files.write_json(outputs["history"], estimate.kept(before, now))


if __name__ == "__main__":
    with job(snakemake):
        main(
            config=snakemake.params.sections,
            dat_root=snakemake.params.dat_root,
            table=snakemake.params.table,
            asked=snakemake.params.asked,
            limits=snakemake.params.limits,
            outputs=dict(snakemake.output.items()),
        )
