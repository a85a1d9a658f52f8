"""Say all that is wrong with the config, folders and files of a volume, before anything is done.

Reads names and sizes of the `.dat` files and a few hundred headers. Outputs: `doctor/doctor.json`,
a list of findings, each with severity (error, note), key, found, expected, change, file; and
`doctor/passed.json`, their number, when none of them is an error.
"""

import logging
from pathlib import Path
from typing import Any

from scripts.lib.files import write_json
from scripts.lib.job import job
from scripts.transfer import doctor

log = logging.getLogger(__name__)


def main(*, config: dict[str, Any], dat_root: str, passed: str) -> None:
    """Write the findings; stop when there is an error."""
    findings = doctor.examine(config, Path(dat_root), Path.cwd(), ask=True)
    write_json(Path(passed).with_name("doctor.json"), doctor.records(findings))
    doctor.require(findings)
    for each in findings:
        log.warning("%s", each.text())
    write_json(passed, {"notes": len(findings)})


if __name__ == "__main__":
    with job(snakemake):
        main(
            config=snakemake.params.sections,
            dat_root=snakemake.params.dat_root,
            passed=snakemake.output[0],
        )
