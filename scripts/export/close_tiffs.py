"""Check that all TIFF slices are there, or write them into one file; say where they are.

Inputs
    ``tiff/plan.json``, ``tiff/slices/{chunk}.json`` of all chunks
Outputs
    ``tiff/tiff.json``: place, level, shape, type of voxel and voxel size (z, y, x, nm)
    Side effect: the file, where ``export.tiff.kind`` is ``stack``
"""

from collections.abc import Sequence
from pathlib import Path

from scripts.export import disk, tiffs
from scripts.lib import files
from scripts.lib.job import UserError, job


def main(*, plan: str, slices: Sequence[str], out: str) -> None:
    """Count, or write."""
    what = tiffs.TiffPlan.from_json(files.read_json(plan))
    if what.is_stack:
        with disk.reported():
            tiffs.write_stack(what)
    else:
        _check(what, [name for path in slices for name in files.read_json(path)["files"]])
    told = ("place", "level", "shape_zyx", "dtype", "voxel_nm_zyx")
    files.write_json(out, {key: what.to_json()[key] for key in told})


def _check(plan: tiffs.TiffPlan, listed: Sequence[str]) -> None:
    wanted = [plan.name(z) for z in range(plan.shape_zyx[0])]
    lost = [name for name in wanted if not (Path(plan.place) / name).is_file()]
    if lost or sorted(listed) != wanted:
        some = ", ".join(lost[:5]) or "none is lost, but the records are of other slices"
        raise UserError(
            f"export.tiff: {plan.place}: {len(lost)} of {len(wanted)} slices are missing: {some};"
            " remove tiff/slices and start the same command again"
        )


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slices=snakemake.input.slices,
            out=snakemake.output[0],
        )
