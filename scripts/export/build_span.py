"""Build the lower resolutions of a run of slabs of a long volume, as far as they lie wholly in it.

Inputs
    ``export/plan.json``; ``export/slabs/{chunk}.json`` of the chunks of the span
Outputs
    ``export/spans/{span}.json``: records of the tasks of level 1, 2 … made here, by pyramid, in the
    form of export/slabs (nothing at level 0). Files that reach into the next span are left to
    build_pyramid: no two jobs share one.
    Side effect: the blocks, in every target. While a volume grows what was made of the same voxels
    is left as it is (`kept_pyramid`).
"""

from collections.abc import Sequence

from scripts.export import destination, disk, kept_pyramid, pyramid, slabs
from scripts.lib import files
from scripts.lib.job import job


def main(
    *, plan: str, slab_records: Sequence[str], out: str, span: str, grows: bool = False
) -> None:
    """Build level after level."""
    what = slabs.Plan.from_json(files.read_json(plan))
    destination.refuse_promoted(what)
    records = [files.read_json(path) for path in slab_records]
    within = pyramid.z_range(records)
    before = kept_pyramid.take(out, what)  # when imaging has ended all is made once more
    known = kept_pyramid.unnamed(before) if grows else {}
    with disk.reported():
        built = {
            kind: pyramid.levels(each, kind, records, known.get(kind, []), within=within)
            for kind, each in what.kinds.items()
        }
    disk.flush(what)
    rows = {kind: [[], *levels] for kind, levels in built.items()}
    files.write_json(out, {"span": span, "z": list(within)} | rows)
    if grows:
        kept_pyramid.put(out, built, before)


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab_records=snakemake.input.slabs,
            out=snakemake.output[0],
            span=snakemake.wildcards.span,
            grows=snakemake.params.get("grows", False),
        )
