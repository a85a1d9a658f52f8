"""Bad volumes whose pixels alone tell it: finished, then spoilt in one place by much."""

import dataclasses
import functools
import tempfile
from pathlib import Path

import numpy as np

from tests.bad_volumes import spoil
from tests.bad_volumes.cases import Told, bad
from tests.bad_volumes.finished import SMALL, Finished

FEW = dataclasses.replace(SMALL, layers=8, restart_layer=5, seed=11)
# kind of spoiling: what is bad, how the report ends, its first line
SPOILT = {
    "swapped_layers": ("two layers in the wrong order", "solve", "look", "in the wrong order"),
    "repeated_layer": ("a layer that is shown twice", "solve", "look", "the same image twice"),
    "swapped_tiles": ("two tiles that changed places", "solve", "look", "it is not known whether"),
    "shifted_layer": ("a layer that lies elsewhere", "solve", None, "layers"),
    "shifted_run": ("a run of layers that lies elsewhere", "solve", None, "layers"),
    "shifted_tile": ("a tile that lies elsewhere", "solve", None, "tiles of a layer|layers"),
    "turned_layer": ("tiles turned about their middles", "solve", None, "do not meet|not known"),
    "shifted_patch": ("a patch in the wrong place", "solve", None, "a patch and its layers"),
    "missing_tile": ("a tile lost between stages", "solve", None, "cell"),
    "missing_column": ("a column lost between stages", "solve", None, "cell"),
    "missing_layer": ("a layer lost between stages", "solve", None, "cell"),
    "swapped_z": ("layers that go back in z", "zcorr", "not good", "z goes (on|back) by"),
    "moved_z": ("a z that was not inferred", "zcorr", "not good", "Zcoords"),
}


@functools.cache
def volume():
    """The volume that all of them spoil, made once."""
    return Finished(Path(tempfile.mkdtemp()), FEW)


def _case(kind, ends):
    def make(_folder):
        made = kind(volume(), np.random.default_rng(5))
        figures, _ = volume().judged(made[0])
        verdict = figures["verdict"]
        told = verdict["state"] if ends or verdict["state"] == "good" else "look or not good"
        return Told(told, "\n".join(verdict["reasons"][:1]))

    make.__doc__ = (kind.__doc__ or kind.__name__.replace("_", " ")) + " (seeded)"
    return make


for _kind in spoil.KINDS:
    if _kind.__name__ in SPOILT:
        _name, _stage, _ends, _line = SPOILT[_kind.__name__]
        _case_ends = _ends or "look or not good"
        bad(_name, _stage, _case_ends, rf"^{_stage}: .*({_line})")(_case(_kind, _ends))


@bad("z that runs the other way", "zcorr", "not good", r"^zcorr: .*z goes (on|back) by")
def backwards(_folder):
    """The corrected z of all layers, in reverse."""
    z = volume().start.z_coords
    state = dataclasses.replace(
        volume().start, z_coords=dict(zip(z, [*z.values()][::-1], strict=True))
    )
    verdict = volume().judged(state)[0]["verdict"]
    return Told(verdict["state"], "\n".join(verdict["reasons"][:1]))
