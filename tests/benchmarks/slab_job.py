"""One slab of an export as its job renders it; imports no more than the job does.

As a program it prints the peak of its resident memory (MB).
"""

import json
import re
import sys
from pathlib import Path

from scripts.export import render_slab

RENDER = {"owner": "o", "project": "p"}


def slab(export):
    """Give the number of voxels."""
    render_slab.main(
        plan="export/plan.json",
        receipt="stacks/s.json",
        chunks="ingest/chunks.tsv",
        coordinates="zcorr/Zcoords.txt",
        out="export/slabs/0000.json",
        chunk="0000",
        render=RENDER,
        export=export,
    )
    return json.loads(Path("export/slabs/0000.json").read_text())["voxels"]


if __name__ == "__main__":
    slab(json.loads(sys.argv[1]))
    # getrusage would count the memory of the program that started this one
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(peak) * 1024 / 1e6)
