"""The gate: end the run, with names, when the transfer is not as it must be.

Inputs: `transfer/layers.tsv`, `transfer/quarantine.tsv`, `transfer/misfits.tsv` and, with a scope,
`transfer/copy.json`. Output: `transfer/gate.json`, the counts of layers and tiles. All that could
be done was done before: to run again tries again what failed. Side effect: `passed_once` beside it,
which stays: a run beside a transfer waits for a gate that is looked at again, and for no other.
"""

import logging
from pathlib import Path

from scripts.lib.files import read_json, read_table, write_json, write_text
from scripts.lib.job import UserError, job
from scripts.transfer import gate
from scripts.transfer.gate import Allowed

log = logging.getLogger(__name__)


def main(
    *,
    layers: str,
    quarantine: str,
    misfits: str,
    copy_state: str | None,
    max_bad_share: float,
    max_bad_tiles: int | None,
    passed: str,
) -> None:
    """Write the receipt, or raise with everything that is wrong."""
    rows = read_table(layers)
    problems = read_json(copy_state)["problems"] if copy_state else []
    faults = gate.faults(
        rows,
        read_table(misfits),
        problems,
        read_table(quarantine),
        Allowed(max_bad_share, max_bad_tiles),
    )
    if faults:
        raise UserError("\n".join(faults))
    write_json(passed, gate.receipt(rows))
    write_text(Path(passed).with_name("passed_once"), "")
    log.info("%d layers passed", len(rows))


if __name__ == "__main__":
    with job(snakemake):
        main(
            layers=snakemake.input.layers,
            quarantine=snakemake.input.quarantine,
            misfits=snakemake.input.misfits,
            copy_state=snakemake.input.get("scope"),
            max_bad_share=snakemake.params.max_bad_share,
            max_bad_tiles=snakemake.params.max_bad_tiles,
            passed=snakemake.output[0],
        )
