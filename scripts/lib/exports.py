"""Exports: what the rules hand to the jobs of an export, from the config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.lib.job import UserError

Config = Mapping[str, Any]

PLANNED = (
    *("formats", "block_zyx_px", "shard_blocks_zyx", "levels", "task_px"),
    *("n5_codec", "n5_codec_level", "zarr_codec", "zarr_codec_level", "review"),
)
# later keys: a volume that has them as they are by default is planned as before, and an upgrade
# alone plans none again
_UNLESS_DEFAULT = {
    "origin": "stack",
    "pyramid": "uniform",
    "consolidated": False,
    "dataset": None,
    "crop": None,
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
    contrast = {key: value for key, value in export["contrast"].items() if key != "keep_grey"}
    return found | eight | {"dtype": dtype, "contrast": contrast}


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


def stacks(
    config: Config, aligned: str, corrected: Mapping[str, str], suffix: str
) -> dict[str, dict[str, Any]]:
    """Return the exports of several stacks, to be looked at side by side.

    Parameters
    ----------
    config
        The config.
    aligned
        Stack of the solve: the name ``align``.
    corrected
        Stack that each correction makes, by step, in order.
    suffix
        What the name of a region says of box and scale.

    Returns
    -------
    dict
        Name of the part -> name, stack, volume (path without suffix), and what of the stack.

    Raises
    ------
    UserError
        For a name that is no stack of this volume.
    """
    export, known = config["export"], {"align": aligned, **corrected}
    wrong = [name for name in export["stacks"] if name not in known]
    if wrong:
        raise UserError(
            f"export.stacks: found {', '.join(wrong)}, expected some of {', '.join(known)} (align"
            " and the steps of correct.steps)"
        )
    cut = {"box": export["box"] or {}, "step_px": round(1 / export["scale"])}
    order = list(known)
    found = {}
    for name in export["stacks"] or order:
        deep = "16bit" in order[: order.index(name) + 1]
        as_it_is = {"dtype": "uint16" if deep else "uint8", "with_eight": False, "drawn_as": None}
        part = f"stack_{name}{suffix}"
        volume = f"exports/{part}/{config['volume']}"
        found[part] = {"name": name, "stack": known[name], "volume": volume, "cut": cut | as_it_is}
    return found


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
