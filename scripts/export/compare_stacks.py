"""Show several stacks of a volume side by side: one state of the viewer, with a panel for each.

Inputs
    ``exports/stack_{name}…/volume.json`` of every stack, exported at one scale, of one box
Outputs
    ``exports/stacks….json``: name, stack and paths of each; ``neuroglancer``: state and link
"""

from collections.abc import Sequence

from scripts.export import viewer
from scripts.lib import files
from scripts.lib.job import job


def main(*, volumes: Sequence[str], names: Sequence[str], out: str, neuroglancer_url: str) -> None:
    """Put the layers of all states into one."""
    described = dict(zip(names, map(files.read_json, volumes), strict=True))
    states = {name: one["targets"][0]["neuroglancer"]["state"] for name, one in described.items()}
    state = viewer.side_by_side(states)
    stacks = [
        {"name": name, "stack": one["stack"], "paths": [t["path"] for t in one["targets"]]}
        for name, one in described.items()
    ]
    link = viewer.link(state, neuroglancer_url=neuroglancer_url)
    files.write_json(out, {"stacks": stacks, "neuroglancer": {"state": state, "link": link}})


if __name__ == "__main__":
    with job(snakemake):
        main(
            volumes=snakemake.input,
            names=snakemake.params.names,
            out=snakemake.output[0],
            neuroglancer_url=snakemake.params.neuroglancer_url,
        )
