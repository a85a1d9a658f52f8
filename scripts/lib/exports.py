"""Exports: what the rules hand to the jobs of an export, from the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Config = Mapping[str, Any]

PLANNED = (
    *("formats", "block_zyx_px", "shard_blocks_zyx", "levels", "task_px", "review"),
    *("n5_codec", "n5_codec_level", "zarr_codec", "zarr_codec_level"),
)
# later keys: a volume that has them as they are by default is planned as before, and an upgrade
# alone plans none again
_UNLESS_DEFAULT = {
    "origin": "stack",
    "pyramid": "uniform",
    "consolidated": False,
    "dataset": None,
}


def planned(export: Config, drawn: str) -> dict[str, Any]:
    """Return what the plan of an export is made of.

    Parameters
    ----------
    export
        Section ``export`` of the config.
    drawn
        Type of voxel of the stack: ``uint8`` or ``uint16``.

    Returns
    -------
    dict
        Params of ``plan_export``; keys at their later defaults are left out.
    """
    found = {key: export[key] for key in PLANNED}
    found |= {k: export[k] for k, default in _UNLESS_DEFAULT.items() if export[k] != default}
    return found | {"dtype": drawn}
