# mypy: disable-error-code="name-defined"
"""Measure the parameters of one correction step on the stack before it.

Inputs
    ``stacks/<source>.json``: receipt of the stack before
Outputs
    ``correct/{step}.json``: step, source, stack (to be made) and the parameters found
Method
    The step's module, by the registry `steps`.
"""

from collections.abc import Mapping
from typing import Any

from scripts.correct import steps
from scripts.lib import files
from scripts.lib.job import job
from scripts.lib.receipts import StackReceipt
from scripts.lib.render import RenderClient


def main(*, source: str, out: str, name: str, render: Mapping[str, Any]) -> None:
    """Read the stack, measure, write."""
    step, before, client = steps.find(name), StackReceipt.read(source), RenderClient(**render)
    client.require(before)
    found = step.estimate(client.tiles(before.stack))
    summary = {"step": name, "source": before.stack, "stack": before.stack + step.suffix}
    files.write_json(out, summary | {"parameters": found})


if __name__ == "__main__":
    with job(snakemake):
        main(
            source=snakemake.input.source,
            out=snakemake.output[0],
            name=snakemake.wildcards.step,
            render=snakemake.params.render,
        )
