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
    if drawn != "uint16" or export["dtype"] == "auto":
        return found | {"dtype": drawn}
    # grey values of 16 bit, shown in 8
    eight = {"with_eight": True} if export["dtype"] == "both" else {"drawn_as": drawn}
    dtype = drawn if export["dtype"] == "both" else "uint8"
    return found | eight | {"dtype": dtype, "contrast": dict(export["contrast"])}


def in_8_bit(plan: Config) -> bool:
    """Tell whether an export shows grey values of 16 bit in 8.

    Parameters
    ----------
    plan
        As of `planned`.

    Returns
    -------
    bool
        Then it has a contrast.
    """
    return bool(plan.get("with_eight") or plan.get("drawn_as"))


def contrast_of(plan: Config, part: str | None = None) -> list[str]:
    """Return the file of the contrast that an export needs.

    Parameters
    ----------
    plan
        As of `planned`.
    part
        Name of a part; None: the whole.

    Returns
    -------
    list of str
        None or one. A region is shown as the whole is; a channel has its own grey values.
    """
    if not in_8_bit(plan):
        return []
    own = part is not None and part.startswith("channel")
    return [f"exports/{part}/contrast.npz" if own else "export/contrast.npz"]
