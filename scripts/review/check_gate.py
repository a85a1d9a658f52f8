"""Stop before the solve when the match graph is not fit for it.

Inputs
    ``review/clusters.json``, ``review/tiles.tsv``, ``review/edges.tsv``, ``review/patches.tsv``,
    ``review/proposals.yaml`` and the receipt of the match collection; ``review/index.html`` is one
    too, so that there is something to look at when the gate does not open

Output
    ``review/gate.json``: each check with what was found and expected. A failing gate writes nothing
    and says which tiles, where all of them are listed, and the lines to add to the config.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib.files import read_json, read_table, write_json
from scripts.lib.job import UserError, job
from scripts.lib.service.receipts import CollectionReceipt
from scripts.review import gate

log = logging.getLogger(__name__)


def main(*, inputs: Mapping[str, str], out: str | Path, limits: Mapping[str, Any]) -> None:
    """Check, and write the gate file when all checks pass."""
    found = gate.Evidence(
        figures=read_json(inputs["clusters"]),
        tiles=read_table(inputs["tiles"]),
        edges=read_table(inputs["edges"]),
        patches=read_table(inputs["patches"]),
        proposals=Path(inputs["proposals"]).read_text(),
        planned=CollectionReceipt.read(inputs["matches"]).pairs_planned,
    )
    checks = gate.checks(found, gate.Limits(**limits))
    for check in checks:
        log.info("%s: %s (expected %s): %s", check.name, check.found, check.expected, check.status)
        if check.status == "warning":
            log.warning("%s", check.message)
    message = gate.failure(checks)
    if message is not None:
        raise UserError(message)
    write_json(out, {"status": "passed", "checks": [check.to_json() for check in checks]})


if __name__ == "__main__":
    with job(snakemake):
        main(
            inputs=dict(snakemake.input.items()),
            out=snakemake.output[0],
            limits=snakemake.params.limits,
        )
