"""Check that a preview is whole and up to date, and say where it is.

Inputs
    ``preview/plan.json``, ``preview/slabs.tsv``, ``preview/slabs/{chunk}.json`` of all slabs,
    ``preview/pyramid.json``
Outputs
    ``preview/volume.json``: as export/volume.json, with the viewer's link. Blocks are counted, not
    read: the preview grows, and reading all of it each time would cost more than what is new.
"""

from collections.abc import Sequence

from scripts.export import completeness, preview, slabs, viewer
from scripts.lib import files
from scripts.lib.job import job


def main(
    *,
    plan: str,
    table: str,
    slab_records: Sequence[str],
    pyramid: str,
    out: str,
    volume: str,
    data_url: str,
    neuroglancer_url: str,
) -> None:
    """Check, then describe."""
    what = slabs.Plan.from_json(files.read_json(plan))
    records = [files.read_json(path) for path in slab_records]
    found = completeness.levels(what, records, files.read_json(pyramid)["levels"])
    preview.check(what, files.read_table(table), records)
    preview.check_blocks(what, found)
    links = viewer.Links(volume, data_url, neuroglancer_url)
    files.write_json(out, completeness.description(what, found, links))


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            table=snakemake.input.table,
            slab_records=snakemake.input.slabs,
            pyramid=snakemake.input.pyramid,
            out=snakemake.output[0],
            volume=snakemake.params.volume,
            data_url=snakemake.params.data_url,
            neuroglancer_url=snakemake.params.neuroglancer_url,
        )
