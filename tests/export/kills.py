"""Export a volume again and again, killed each time at a random moment: ``kills.py COUNT SEED``.

Works in the current folder, on the stack that `tests.export.synthetic.publish` made there. This
process does nothing but fork: its children die by SIGKILL, and none pays for starting Python.
Prints one line of JSON.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from scripts.export import interpolation
from scripts.lib import files
from scripts.lib.drawing import compose
from scripts.lib.geometry import Box
from scripts.lib.numerics import kernels
from scripts.lib.service.client import RenderClient
from scripts.lib.volumes import compiled, multiscale
from tests.export import test_parts
from tests.export.synthetic import RENDER

SETTINGS = {"formats": ["n5", "zarr", "zarr3"], "block_zyx_px": [8, 32, 32], "task_px": 64}
MOST_MOMENTS = 250  # of a child, at random; a column of blocks has about a hundred


def die_at(moment):
    """Kill this process at its `moment`-th step that others can see: a rename, a block, a flush."""
    left = moment

    def counted(work):
        def step(*args, **more):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*args, **more)

        return step

    os.replace, os.fsync = counted(os.replace), counted(os.fsync)
    multiscale.Level.write = counted(multiscale.Level.write)
    for name in ("write_bytes", "replace_bytes"):
        if hasattr(files, name):
            setattr(files, name, counted(getattr(files, name)))


def child(work):
    """Run `work` in a process of its own; tells whether it ended well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a job failed by itself")
    return os.WIFEXITED(status)


def export():
    """Do what Snakemake would: the jobs whose records are not there."""
    if Path("out/volume.json").exists():
        return
    test_parts.export("out", again=True, **SETTINGS)


def content():
    """Every file of the volumes, with its bytes."""
    found = sorted(path for path in Path("out").glob("v.*/**/*") if path.is_file())
    return {str(path): path.read_bytes() for path in found}


def warm():
    """Have the compiled kernels loaded before any fork: each child would pay a second for it."""
    layers = compose.place_layers(RenderClient(**RENDER).tiles("s"))
    z = min(layers)
    both = (compose.prepare(layers[k], Box(0, 0, 140, 60), dtype="uint8") for k in (z, z + 1))
    a, b = (layer.rows(slice(None)) for layer in both)
    out = np.zeros(a.pixels.shape, np.uint8)
    interpolation.mix(a, b, 0.5, out)
    compiled.contiguous(out[None, :, ::2])
    kernels.halve(out, out, np.zeros((30, 70), np.uint8))


def main(count, seed):
    warm()
    rng = np.random.default_rng(seed)
    child(export)
    whole = content()
    kills = complete = 0
    shutil.rmtree("out")
    while kills < count:
        moment = int(rng.integers(1, MOST_MOMENTS))
        if child(lambda moment=moment: (die_at(moment), export())):
            complete += 1
            if content() != whole:
                sys.exit(f"after {kills} kills the volume is another")
            shutil.rmtree("out")
        else:
            kills += 1
    child(export)
    same = content() == whole
    print(json.dumps({"kills": kills, "complete": complete, "same_at_the_end": same}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
