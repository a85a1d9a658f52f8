"""Read back every block that one slab job wrote.

Inputs
    ``export/plan.json``, ``export/slabs/{chunk}.json``
Outputs
    ``export/checked/{chunk}.json``: number of regions and voxels read, per target and level

Fails, naming the place, when a block is missing, cannot be unpacked or holds other voxels than were
written. The slab's record is withdrawn then, and its good columns go back into its journal: the
next run writes the damaged ones again, and nothing else.
"""

from pathlib import Path

from scripts.export import journal, recheck, slabs
from scripts.lib import files
from scripts.lib.job import UserError, job


def main(*, plan: str, slab: str, notes: str, finished: str, out: str) -> None:
    """Compare every record with what is stored."""
    what, record = slabs.Plan.from_json(files.read_json(plan)), files.read_json(slab)
    faults = recheck.faults(what, record)
    if faults:
        Path(finished).unlink(missing_ok=True)
        recheck.withdraw(what, record, faults, journal.Journal(Path(notes), record["key"]))
        Path(slab).unlink()
        raise UserError(recheck.message(record["chunk"], faults))
    files.write_json(out, recheck.summary(what, record))


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab=snakemake.input.slab,
            notes=snakemake.params.notes,
            finished=snakemake.params.finished,
            out=snakemake.output[0],
        )
