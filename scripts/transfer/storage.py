"""Storage: what a volume takes on disk, now and at the peak of its run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.transfer import origin
from scripts.transfer.extent import Extent
from scripts.transfer.rates import Rate

FOLDERS = {"raw_h5": "h5/raw", "align_h5": "h5/align"}
GB_MB = 1000.0
LEAST_FILES = 3  # layers from which on their own size counts


@dataclass(frozen=True)
class Kept:
    """Space of one kind: GB now and when all is made, and whether it stays to the end."""

    kind: str
    now_gb: float
    whole_gb: float
    stays: bool = True


def kinds(
    table: Sequence[Rate],
    amounts: Mapping[str, tuple[float, float]],
    extent: Extent,
    config: Mapping[str, Any],
    work_dir: Path,
) -> list[Kept]:
    """Return the space of ``.dat`` and HDF5 files, of the database and of the volumes.

    Parameters
    ----------
    table
        All rates.
    amounts
        `fan_out.units` of the volume.
    extent
        Size of the volume.
    config
        Config of the volume.
    work_dir
        The working directory.

    Returns
    -------
    list of Kept
        HDF5 files as those that are there, when there are a few layers of them.
    """
    rates = {rate.item: rate for rate in table if rate.jobs == "stored"}
    transfer, formats = config["transfer"], config["export"]["formats"]
    dat_gb = extent.dat_mb / GB_MB
    found = [Kept("dat", dat_gb, dat_gb, not transfer["remove_dats"])]
    folders = {k: f for k, f in FOLDERS.items() if k != "raw_h5" or origin.keeps_raw(config)}
    for kind, folder in folders.items():
        files, now_mb = _size(work_dir / folder)
        rate = rates[kind]
        whole_mb = rate.start_mb * extent.layers + rate.mb_per_unit * amounts[rate.unit][0]
        if files >= LEAST_FILES:
            whole_mb = now_mb / files * extent.layers
        moved = kind == "raw_h5" and transfer["archive_root"] is not None
        found.append(Kept(kind, now_mb / GB_MB, max(whole_mb, now_mb) / GB_MB, not moved))
    if not config["render"]["url"]:
        database = work_dir / "render-ws.db"
        now_mb = database.stat().st_size / 1e6 if database.exists() else 0.0
        rate = rates["database"]
        whole_mb = rate.mb_per_unit * amounts[rate.unit][0]
        found.append(Kept("database", now_mb / GB_MB, max(now_mb, whole_mb) / GB_MB))
    rate = rates["volume"]
    each_gb = rate.mb_per_unit * amounts[rate.unit][0] / GB_MB
    # a volume may have millions of files: those are not counted, records of its slabs are
    slabs = math.ceil(extent.layers / config["chunks"]["layers"])
    share = min(1.0, len(list((work_dir / "export/slabs").glob("*.json"))) / slabs)
    return [*found, *(Kept(name, share * each_gb, each_gb) for name in formats)]


def peak_gb(found: Sequence[Kept]) -> float:
    """Return the most space that is taken at one time.

    Parameters
    ----------
    found
        All kinds.

    Returns
    -------
    float
        GB: before the export all that the transfer reads and writes, in the end all that stays.
    """
    transferred = math.fsum(max(k.now_gb, k.whole_gb) for k in found if k.kind in ("dat", *FOLDERS))
    return max(transferred, math.fsum(kept.whole_gb for kept in found if kept.stays))


def _size(folder: Path) -> tuple[int, float]:
    """Return number and MB of the files in and below a folder; there is one for each layer."""
    sizes = [
        os.lstat(f"{at}/{name}").st_size  # noqa: PTH116 - 60,000 files
        for at, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    ]
    return len(sizes), math.fsum(sizes) / 1e6
