"""Move the validated volumes to their place by rename, and leave links.

Inputs
    ``export/plan.json`` and those of the other channels; each ``volume.json``, which is there only
    when every block was read back, with the numbers of files, which are compared once more
Outputs
    ``export/promoted.json``: format and path of each
    Side effect: ``<promote_root>/<volume>.n5/em/fibsem-uint8`` and so on; groups above are made
    when they are not there. A link stays in the working directory.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from scripts.export import destination, slabs
from scripts.lib import files
from scripts.lib.job import UserError, job

log = logging.getLogger(__name__)


def main(*, plans: Sequence[str], volumes: Sequence[str], out: str, root: str | None) -> None:
    """Check all of all plans, then rename one after another."""
    if root is None:
        raise UserError("export.promote_root is not set: expected the folder of finished volumes")
    exports = [slabs.Plan.from_json(files.read_json(plan)) for plan in plans]
    kinds = [each for export in exports for each in export.kinds.values()]
    targets = [target for each in kinds for target in each.targets]
    described = [each for path in volumes for each in files.read_json(path)["targets"]]
    closed = {each["path"]: each.get("files", ()) for each in described}
    destination.require(targets, Path(root), closed)
    destination.check(targets, Path(root))
    found = [
        {"format": target.format, "path": str(destination.promote(target, Path(root)))}
        for target in targets
    ]
    log.info("promoted: %s", ", ".join(one["path"] for one in found))
    files.write_json(out, {"targets": found})


if __name__ == "__main__":
    with job(snakemake):
        main(
            plans=snakemake.input.plans,
            volumes=snakemake.input.volumes,
            out=snakemake.output[0],
            root=snakemake.params.promote_root,
        )
