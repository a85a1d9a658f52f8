"""Read back every block that one slab job wrote.

Inputs
    ``export/plan.json``, ``export/slabs/{chunk}.json``
Outputs
    ``export/checked/{chunk}.json``: number of regions and voxels read, per target and level

Fails, naming the place, when a block is missing, cannot be unpacked or holds other voxels than were
written. ``export/damaged/{chunk}.json`` lists what is: the next run takes it as an input of
render_slab. The good columns go back into the slab's journal, so that job writes the damaged ones
again, and nothing else.
"""

from pathlib import Path

from scripts.export import damage, slabs
from scripts.export.journal import Journal
from scripts.lib import files
from scripts.lib.job import UserError, job


def main(*, plan: str, slab: str, out: str) -> None:
    """Compare every record with what is stored."""
    what, record = slabs.Plan.from_json(files.read_json(plan)), files.read_json(slab)
    faults = damage.faults(what, record)
    if faults:
        damage.keep_good(what, record, faults, Journal.beside(slab, record["key"]))
        # no output of this rule: Snakemake would remove it with those of a job that failed
        files.write_json(Path(out).parent.parent / "damaged" / Path(out).name, {"faults": faults})
        raise UserError(damage.message(record["chunk"], faults))
    files.write_json(out, damage.summary(what, record))


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab=snakemake.input.slab,
            out=snakemake.output[0],
        )
