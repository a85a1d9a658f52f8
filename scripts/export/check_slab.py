"""Read back every block that one slab job wrote, and compare the seams of some layers in it.

Inputs
    ``export/plan.json``, ``export/slabs/{chunk}.json``; for the seams ``stacks/<final>.json`` and
    ``zcorr/Zcoords.txt``: parts of an export have no seams compared
Outputs
    ``export/checked/{chunk}.json``: number of regions and voxels read, per target and level;
    ``seams``, rows of `scripts.export.seams.COLUMNS`, px

Fails, naming the place, when a block is missing, cannot be unpacked or holds other voxels than were
written. ``export/damaged/{chunk}.json`` lists what is: the next run takes it as an input of
render_slab. The good columns go back into the slab's journal, so that job writes the damaged ones
again, and nothing else.

While a volume grows, a slab that was read back before, and whose job has found since that all its
files are there and nothing is to be drawn, is not read again. Once imaging has ended, and by
``--forcerun check_slab``, every block is read.
"""

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.export import damage, seams, slabs
from scripts.export.journal import Journal
from scripts.lib import files, made_by
from scripts.lib.job import UserError, job
from scripts.lib.kept import Kept
from scripts.lib.service.client import RenderClient
from scripts.lib.service.receipts import StackReceipt


def main(
    *,
    plan: str,
    slab: str,
    out: str,
    receipt: str | None = None,
    coordinates: str = "",
    render: Mapping[str, Any] | None = None,
    seam: Mapping[str, Any] | None = None,
    grows: bool = False,
) -> None:
    """Compare every record with what is stored; with a `receipt` compare seams as `seam` says."""
    kept = Kept.of([out], [slab], [_last_drawn(slab), dict(seam or {})], code=made_by.CHECKED_SLABS)
    if grows and kept.older_than(slab) and kept.restore():
        return
    what, record = slabs.Plan.from_json(files.read_json(plan)), files.read_json(slab)
    faults = damage.faults(what, record)
    if faults:
        damage.keep_good(what, record, faults, Journal.beside(slab, record["key"]))
        # no output of this rule: Snakemake would remove it with those of a job that failed
        # the same block may be damaged alike once more: the list must not be the same then
        found_at = {"faults": faults, "time_ns": time.time_ns()}
        files.write_json(Path(out).parent.parent / "damaged" / Path(out).name, found_at)
        raise UserError(damage.message(record["chunk"], faults))
    found = damage.summary(what, record)
    if receipt is not None and seam is not None:
        stack, client = StackReceipt.read(receipt), RenderClient(**render or {})
        client.require(stack)
        tiles = functools.partial(client.tiles, stack.stack)
        found["seams"] = seams.of_slab(what, record["z"], coordinates, tiles, seams.How(**seam))
    files.write_json(out, found)
    kept.keep()


def _last_drawn(slab: str) -> int | None:
    """Return when a column of a slab was last drawn, ns: its journal grows by it."""
    journal = Path(slab).parent.parent / "journals" / Path(slab).with_suffix(".jsonl").name
    return journal.stat().st_mtime_ns if journal.exists() else None


if __name__ == "__main__":
    with job(snakemake):
        main(
            plan=snakemake.input.plan,
            slab=snakemake.input.slab,
            out=snakemake.output[0],
            receipt=snakemake.input.get("receipt"),
            coordinates=snakemake.input.get("coordinates", ""),
            render=snakemake.params.get("render"),
            seam=snakemake.params.get("seam"),
            grows=snakemake.params.get("grows", False),
        )
