"""Check that the export is whole and say where the volumes are.

Inputs
    ``export/plan.json``, ``export/slabs/{chunk}.json`` and ``export/checked/{chunk}.json`` of all
    chunks, ``export/pyramid.json``, ``export/spans/{span}.json`` of long volumes;
    ``zcorr/Zcoords.txt``
Outputs
    ``export/volume.json``: stack, voxels, shape, origin and voxel size, and for each target its
    path, the shape and number of stored blocks of each level, the number of files of each level,
    and the neuroglancer state and link; ``filled``, the layers that lie in gaps and what they are
    mixed of (`scripts.export.gaps`). The groups of all targets have the same as an attribute;
    ``export/seams.tsv``: what shift is left at seams in the exported voxels, px, and how the grey
    levels correlate across them (`scripts.export.seams`); parts have none

Fails, naming the place, when a level is not complete, or a block of the pyramid is missing,
cannot be unpacked or holds other voxels than were written. While a volume grows, blocks of the
pyramid that were read back and not written since are not read again.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.export import completeness, disk, gaps, kept_pyramid, seams, slabs, viewer
from scripts.lib import files
from scripts.lib.job import UserError, job
from scripts.lib.volumes import metadata

log = logging.getLogger(__name__)


def main(
    *,
    plan: str,
    slab_records: Sequence[str],
    pyramid: str,
    out: str,
    volume: str,
    data_url: str,
    neuroglancer_url: str,
    span_records: Sequence[str] = (),
    checked: Sequence[str] = (),
    seam_table: str | None = None,
    grows: bool = False,
    coordinates: str | None = None,
    in_z: Mapping[str, Any] | None = None,
) -> None:
    """Check all levels of all targets, then describe them."""
    what = slabs.Plan.from_json(files.read_json(plan))
    records = [files.read_json(path) for path in slab_records]
    spans = [files.read_json(path) for path in span_records]
    alone = files.read_json(pyramid)
    built = {
        kind: completeness.joined(each, alone[kind], spans, kind)
        for kind, each in what.kinds.items()
    }
    found = {
        kind: completeness.levels(each, records, built[kind], kind)
        for kind, each in what.kinds.items()
    }
    counts = _check(what, found, built, [pyramid, *span_records], out if grows else None)
    links = viewer.Links(volume, data_url, neuroglancer_url)
    described = completeness.description(what, found["levels"], links)
    for target in described["targets"]:
        target["files"] = completeness.counted(what, counts)[target["path"]]
    empty = [] if coordinates is None or in_z is None else gaps.filled(what, coordinates, in_z)
    for each in what.kinds.values():
        for place in each.targets:
            metadata.annotate(place, {gaps.ATTRIBUTE: empty})
    files.write_json(out, {**described, "filled": empty})
    if seam_table is not None:
        rows = [row for path in checked for row in files.read_json(path).get("seams", ())]
        files.write_table(seam_table, seams.COLUMNS, rows)


def _check(
    plan: slabs.Plan,
    found: Mapping[str, Sequence[completeness.Rows]],
    built: kept_pyramid.Levels,
    records: Sequence[str],
    volume: str | None,
) -> dict[str, disk.Counts]:
    """Read back what the pyramid's jobs wrote: with `volume` only what they wrote since."""
    to_read = kept_pyramid.unread(built, records, volume) if volume else built
    read, there = (
        sum(len(rows) for levels in each.values() for rows in levels) for each in (to_read, built)
    )
    log.info("pyramid: %d records, %d of them read back", there, read)
    counts = disk.sweep(plan)
    try:
        for kind, each in plan.kinds.items():
            completeness.check(each, found[kind], to_read[kind], counts[kind])
    except UserError:
        kept_pyramid.forget(records)
        raise
    if volume:
        kept_pyramid.closed(records, volume)
    return counts


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab_records=snakemake.input.slabs,
            pyramid=snakemake.input.pyramid,
            span_records=snakemake.input.get("spans", []),
            out=snakemake.output[0],
            checked=snakemake.input.checked,
            seam_table=snakemake.output.get("seams"),
            volume=snakemake.params.volume,
            data_url=snakemake.params.data_url,
            neuroglancer_url=snakemake.params.neuroglancer_url,
            grows=snakemake.params.get("grows", False),
            coordinates=snakemake.input.coordinates,
            in_z=snakemake.params.in_z,
        )
