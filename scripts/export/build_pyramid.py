"""Build what slabs and spans left of the lower resolutions of the exported volumes.

Inputs
    ``export/plan.json``; ``export/slabs/{chunk}.json`` of all chunks (level 0 is complete, and of
    the next levels what lies within single slabs); ``export/spans/{span}.json`` of long volumes
    (see build_span)
Outputs
    ``export/pyramid.json``: records of the tasks of level 1, 2 … that were made here (as in
    export/slabs, and what each was made of). When it is there already (a preview, which grows),
    only what changed is made; so it is of a volume that grows (`kept_pyramid`).
    With review levels also ``review``, the same of the pyramid that keeps every layer.
    Side effect: the blocks, in every target. Of a preview also ``preview/pyramid.made.json``, the
    digest of the former, which is gone while the former is not up to date.
"""

from collections.abc import Sequence
from pathlib import Path

from scripts.export import destination, disk, kept_pyramid, pyramid, slabs
from scripts.lib import files, made_by
from scripts.lib.job import job


def main(
    *,
    plan: str,
    slab_records: Sequence[str],
    out: str,
    made: str | None = None,
    grows: bool = False,
) -> None:
    """Build level after level."""
    what = slabs.Plan.from_json(files.read_json(plan))
    destination.refuse_promoted(what)
    records = [files.read_json(path) for path in slab_records]
    before = kept_pyramid.take(out, what) if made is None else {}
    known = kept_pyramid.unnamed(before) if grows else {}
    if Path(out).exists():
        known = files.read_json(out)
    with disk.reported():
        built = {
            kind: pyramid.levels(each, kind, records, known.get(kind, []))
            for kind, each in what.kinds.items()
        }
    disk.flush(what)
    files.write_json(out, built)
    made_by.PYRAMID.record()
    if grows and made is None:
        kept_pyramid.put(out, built, before)
    if made is not None:
        files.write_json(made, {"digest": files.digest_of_file(out)})


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab_records=[*snakemake.input.slabs, *snakemake.input.get("spans", [])],
            out=snakemake.output[0],
            made=snakemake.output.get("made"),
            grows=snakemake.params.get("grows", False),
        )
