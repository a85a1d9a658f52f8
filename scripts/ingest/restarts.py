"""Restarts of the microscope: layers before which something changed.

A restart is a long gap in time, another number of tiles, or a changed header field of a grid cell,
each cell compared with itself in the last layer that has it (so that tiles of permanently different
sizes, or a quarantined tile, are no restart).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.ingest.align import CHECKED, Layer

COLUMNS = ("z", "reason")
GROUP = "restart"


def find(
    layers: Sequence[Layer], *, max_gap_s: float = 900, pixel_tolerance_nm: float = 0.5
) -> dict[int, str]:
    """Give z -> reason of every layer with tiles that follows a restart; layers in order of z.

    Reasons: ``acquisition_delay``, ``change_tile_count``, ``change_header_<field>``.
    """
    found: dict[int, str] = {}
    seen: dict[tuple[int, int], Mapping[str, Any]] = {}
    late = False
    before: Layer | None = None  # the last layer, with tiles or without
    counted: Layer | None = None  # the last layer with tiles
    for layer in layers:
        late |= before is not None and _seconds(before, layer) > max_gap_s
        before = layer
        if not layer.tiles:
            continue  # a delay before a gap shows in the next layer
        if counted is not None and (
            reason := _count_change(counted, layer)
            or ("acquisition_delay" if late else None)
            or _header_change(seen, layer, pixel_tolerance_nm)
        ):
            found[layer.z] = reason
        seen |= {tile.cell: tile.fields for tile in layer.tiles.values()}
        late, counted = False, layer
    return found


def groups(layers: Sequence[Layer], found: Mapping[int, str]) -> set[int]:
    """Give z of the layers of group "restart": restart layers and the layer with tiles before."""
    values = [layer.z for layer in layers if layer.tiles]
    before = {b for b, after in zip(values, values[1:], strict=False) if after in found}
    return before | set(found)


def _seconds(before: Layer, layer: Layer) -> float:
    return (layer.name.time - before.name.time).total_seconds()  # all of it, days included


def _count_change(before: Layer, layer: Layer) -> str | None:
    return "change_tile_count" if before.acquired != layer.acquired else None


def _header_change(
    seen: Mapping[tuple[int, int], Mapping[str, Any]], layer: Layer, tolerance_nm: float
) -> str | None:
    for tile in layer.tiles.values():
        old = seen.get(tile.cell)
        if old is None:
            continue
        for field in CHECKED:
            if _differs(field, old.get(field), tile.fields.get(field), tolerance_nm):
                return f"change_header_{field.lower()}"
    return None


def _differs(field: str, old: Any, new: Any, tolerance_nm: float) -> bool:  # noqa: ANN401 - header values
    if field == "PixelSize" and old is not None and new is not None:
        return bool(abs(new - old) >= tolerance_nm)
    # NaN is equal to NaN here: an unset field did not change
    return bool(old != new and not (old != old and new != new))  # noqa: PLR0124
