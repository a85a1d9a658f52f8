"""Dat: version-9 Jeiss ``.dat`` files as the microscope writes them.

Layout (big-endian): 1024 bytes of header, pixels (y, x, channel), then the recipe. Offsets of the
header fields follow the published layout of the format (fibsem-tools, jfibsem_dat).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.demo.plan import Settings

HEADER_BYTES = 1024
MAGIC = 3555587570
VERSION = 9
RECIPE = b"synthetic acquisition recipe: X size (px), Y size (px), Scan rate (Hz)\x00" * 3


def _fields(settings: Settings, tile: Mapping[str, Any]) -> list[tuple[int, str, tuple[Any, ...]]]:
    """Return (offset, struct format, values) of every field that is set."""
    w, h = settings.tile_width, settings.tile_height
    x, y = (int(v) for v in tile["stage_xy"])
    # the working distance grows as the face recedes
    working_mm = 3.42 + tile["layer"] * settings.pixel_nm * 1e-6
    return [
        (0, "IHH", (MAGIC, VERSION, 1)),
        (8, "10s", (b"04/20/2021",)),  # date of the scope's software
        (24, "d", (4e-8,)),  # time step, s
        (32, "BB", (settings.channels, 0)),  # channels, eight bit
        (36, "8f", (0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)),  # scaling
        (68, "BBii", (0, 0, x, y)),  # restart, stage move, first x, first y
        (100, "II", (w, h)),
        (108, "H", (8,)),  # oversampling
        (111, "Bf", (3, 3.125e6)),  # scan speed, scan rate
        (151, "4B", (1, settings.channels > 1, 0, 0)),  # channels in use
        (155, "25s", (b"synthetic-neuropil",)),
        (180, "200s", (b"synthetic-neuropil, made in code",)),
        (380, "10s18s", (b"InLens", b"ESB @ 600 V")),
        (460, "4f", (381.0, settings.pixel_nm, working_mm, 1.2)),  # mag, pixel, WD, EHT
        (534, "3f", (64.0, 64.0, 30.0)),  # stage x, y, z, mm
        (800, "30s", (b"Jeiss8/Merlin-6284",)),
        (878, "I", (tile["layer"],)),  # FIB slice
        (1000, "q", (HEADER_BYTES + 2 * w * h * settings.channels,)),
    ]


def _header(settings: Settings, tile: Mapping[str, Any]) -> bytes:
    """Return the 1024-byte header of a tile."""
    out = bytearray(HEADER_BYTES)
    for offset, form, values in _fields(settings, tile):
        struct.pack_into(">" + form, out, offset, *values)
    return bytes(out)


def encode(counts: NDArray[np.int16], settings: Settings, tile: Mapping[str, Any]) -> bytes:
    """Return the file of a tile from its (h, w, channel) counts; a truncated tile ends early."""
    fault = tile["corrupt"]
    if fault and fault["kind"] == "truncated":
        return _header(settings, tile) + counts[: fault["first_row"]].astype(">i2").tobytes()
    return _header(settings, tile) + counts.astype(">i2").tobytes() + RECIPE
