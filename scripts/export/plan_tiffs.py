"""Plan the TIFF files of a finished volume, and take their place.

Inputs
    ``export/plan.json``; ``export/volume.json``, which is there only when every block was read back
Outputs
    ``tiff/plan.json`` (see `tiffs.TiffPlan`)
    Side effect: a folder ``<volume>.s<level>.<dtype>.tiff``, or a mark beside the stack
    ``<volume>.s<level>.<dtype>.tif``, that says what it is made of

Fails when something else is at this place.
"""

from collections.abc import Mapping
from typing import Any

from scripts.export import slabs, tiffs
from scripts.lib import files
from scripts.lib.job import UserError, job
from scripts.lib.volumes import multiscale


def main(*, plan: str, volume: str, out: str, name: str, settings: Mapping[str, Any]) -> None:
    """Choose bit depth and level, and claim the place."""
    exported = slabs.Plan.from_json(files.read_json(plan))
    chosen = _depth(exported, settings["dtype"])
    level = settings["level"]
    if level >= chosen.spec.levels:
        raise UserError(
            f"export.tiff.level: found {level}, expected 0 to {chosen.spec.levels - 1}, the levels"
            " of the volume"
        )
    z, y, x = multiscale.level_geometry_nm(chosen.spec, level)[0]
    end = "tif" if settings["kind"] == "stack" else "tiff"
    what = tiffs.TiffPlan(
        target=chosen.targets[0],
        level=level,
        shape_zyx=chosen.spec.level_shape(level),
        dtype=chosen.spec.dtype,
        voxel_nm_zyx=(z, y, x),
        place=f"{name}.s{level}.{chosen.spec.dtype}.{end}",
        z_factor=chosen.spec.factors_zyx(level)[0],
        made_of=files.digest_of_file(volume),
    )
    tiffs.claim(what)
    files.write_json(out, what.to_json())


def _depth(exported: slabs.Plan, dtype: str) -> slabs.Plan:
    """Return the volume of a bit depth; ``auto`` is the first, of both that of 8 bit."""
    found = {each.spec.dtype: each for each in (exported, exported.eight) if each}
    if dtype == "auto":
        return found.get("uint8", exported)
    if dtype not in found:
        raise UserError(
            f"export.tiff.dtype: found {dtype}, expected {' or '.join(sorted(found))}, as the"
            " volume has; export.dtype says in which it is written"
        )
    return found[dtype]


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            volume=snakemake.input.volume,
            out=snakemake.output[0],
            name=snakemake.params.volume,
            settings=snakemake.params.settings,
        )
