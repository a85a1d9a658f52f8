"""Layers of a volume that were not imaged: which layers around a gap they are mixed of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.export import interpolation, slabs
from scripts.export.slabs import Plan

ATTRIBUTE = "filledLayers"


def filled(plan: Plan, coordinates: str, in_z: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the layers of an export that lie in gaps.

    Parameters
    ----------
    plan
        The export.
    coordinates
        Path of ``Zcoords.txt``.
    in_z
        ``z_correction`` and ``fill_gaps`` of the section ``export``.

    Returns
    -------
    list of dict
        ``z`` as layers are counted (the voxel is z less the origin of the plan), ``layers``, the
        layers on both sides of the gap, and ``shares`` of each; of a layer that shows nothing both
        are empty. None for layers outside of the first and the last.
    """
    wanted = slabs.output_z(plan, (0, plan.spec.shape_zyx[0]))
    mixed = interpolation.of_slab(coordinates, wanted, **in_z)
    shown = [i for i, one in enumerate(mixed) if one is not None]
    inside = range(shown[0], shown[-1] + 1) if shown else range(0)
    out = []
    for i in inside:
        one = mixed[i]
        if one is None:
            out.append({"z": wanted[i], "layers": [], "shares": []})
        elif one.b - one.a > 1:
            shares = [round(one.share, 4), round(1 - one.share, 4)]
            out.append({"z": wanted[i], "layers": [one.a, one.b], "shares": shares})
    return out
