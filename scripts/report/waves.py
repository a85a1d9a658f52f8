"""Waves: which layers the volume holds, which of them came last, and which have come since.

A volume that is still imaged is made again with every wave of new layers. Each report adds a line
to ``report/waves.json``, beside its outputs: layers of the export, layers transferred by then, and
when the export ended.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.names import LayerRange, dat_or_none
from scripts.report.gather import Evidence

RECORD = Path("report/waves.json")
_EXPORT, _TRANSFERRED = Path("export/volume.json"), Path("transfer/layers.tsv")


@dataclass(frozen=True)
class Wave:
    """What a report was about: z of the exported layers, and layers transferred by then."""

    z_first: int
    z_last: int
    layers: int
    transferred: int
    at: str  # when the export ended

    @property
    def range(self) -> str:
        """Return the layers in words.

        Returns
        -------
        str
            Of one layer and of many.
        """
        return f"z {self.z_first} to {self.z_last}"


def read(folder: Path) -> list[Wave]:
    """Read the waves of a volume.

    Parameters
    ----------
    folder
        Its working directory.

    Returns
    -------
    list of Wave
        The last one comes last; none before the first report.
    """
    try:
        return [Wave(**each) for each in files.read_json(folder / RECORD)]
    except (OSError, ValueError, TypeError):
        return []


def noted(folder: Path, evidence: Evidence, final: str) -> list[Wave]:
    """Add what is exported now to the waves, unless it is the last of them.

    Parameters
    ----------
    folder
        Working directory.
    evidence
        What the run left.
    final
        Stack that is exported.

    Returns
    -------
    list of Wave
        With the one of now; a report that is made again finds the same.
    """
    waves, stack = read(folder), evidence.stacks.get(final)
    if evidence.documents["volume"] is None or stack is None or not stack["tile_count"]:
        return waves
    ended = datetime.fromtimestamp((folder / _EXPORT).stat().st_mtime)
    first, last = int(stack["z_min"]), int(stack["z_max"])
    layers = int((evidence["layers"]["tiles"] > 0).sum())
    now = Wave(first, last, layers, len(evidence["transfer"]), f"{ended:%Y-%m-%d %H:%M}")
    same = waves and (waves[-1].z_first, waves[-1].z_last, waves[-1].layers) == (
        first,
        last,
        layers,
    )
    waves = [*waves[:-1], now] if same else [*waves, now]
    files.write_json(folder / RECORD, [asdict(each) for each in waves])
    return waves


def sentence(waves: Sequence[Wave], *, imaging: bool) -> str:
    """Say which layers the volume holds, and which are new.

    Parameters
    ----------
    waves
        Of `noted`.
    imaging
        Whether the microscope is still at work on it.

    Returns
    -------
    str
        Nothing of a volume that was made once, of all its layers.
    """
    if not waves or not (imaging or waves[1:]):
        return ""
    now = waves[-1]
    text = f"The volume holds layers {now.range}"
    # z grows, too, when a person declares a gap: nothing was imaged then
    if waves[1:] and now.z_last > waves[-2].z_last and now.layers > waves[-2].layers:
        before = waves[-2]
        new = f"z {before.z_last + 1} to {now.z_last}"
        text += f"; {new} ({now.z_last - before.z_last:,}) are new since {before.at}"
    return f"{text}{'; more may come (no acquisition.last_dat is set)' if imaging else ''}."


def since(folder: Path, acquisition: Mapping[str, Any], dat_root: Path | None = None) -> str:
    """Say how many layers have come since the last report.

    Parameters
    ----------
    folder
        Working directory.
    acquisition
        Section of the config.
    dat_root
        Where files arrive, to be looked at, too; None: what was transferred alone counts.

    Returns
    -------
    str
        Nothing where there is no report, or nothing has come.
    """
    waves = read(folder)
    if not waves:
        return ""
    table = folder / _TRANSFERRED
    known = {row["layer_id"] for row in files.read_table(table)} if table.is_file() else set()
    waiting = _arrived(dat_root, acquisition) - known if dat_root else set()
    new = len(known) - waves[-1].transferred + len(waiting)
    if new <= 0:
        return ""
    plural = "s" if new > 1 else ""
    return f"{new:,} new layer{plural} since {waves[-1].at}; the export has {waves[-1].range}"


def _arrived(dat_root: Path, acquisition: Mapping[str, Any]) -> set[str]:
    """Return the layers of a folder of ``.dat`` files; of other files nothing is known here."""
    try:
        wanted = LayerRange.of(acquisition)
    except ValueError:
        return set()
    names = (name for _, _, found in os.walk(dat_root) for name in found)
    tiles = (tile for name in names if name.endswith(".dat") and (tile := dat_or_none(name)))
    layers = {tile.layer for tile in tiles if wanted.holds(tile.layer)}
    scope = acquisition.get("scope")
    return {layer.layer_id for layer in layers if scope in (None, layer.scope)}
