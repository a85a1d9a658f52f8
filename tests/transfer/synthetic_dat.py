"""Synthetic `.dat` files, written with struct from the published layout."""

import struct
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SAMPLE = SHARED / "jeiss-dat" / "small_21-07-31_152727_0-0-1.dat"


def make_dat(
    pixels, *, version=9, first_xy=(0, 0), pixel_nm=8.0, wd_mm=3.4, footer=b"recipe", notes=b"n"
):
    """Bytes of a .dat with (y, x, channel) int16 or uint8 pixels."""
    height, width, channels = pixels.shape
    head = bytearray(1024)
    eight_bit = pixels.dtype == np.uint8
    struct.pack_into(">IHH", head, 0, 3555587570, version, 1)
    struct.pack_into(">10s", head, 8, b"07/31/2021")
    struct.pack_into(">BB", head, 32, channels, eight_bit)
    struct.pack_into(">II", head, 100, width, height)
    struct.pack_into(">200s", head, 180, notes)
    if version >= 9:
        struct.pack_into(">ii", head, 70, *first_xy)
    if version >= 3:
        struct.pack_into(">ff", head, 464, pixel_nm, wd_mm)
    else:
        struct.pack_into(">dd", head, 416, pixel_nm, wd_mm)
    data = pixels.astype("u1" if eight_bit else ">i2").tobytes()
    struct.pack_into(">q", head, 1000, 1024 + len(data))
    return bytes(head) + data + footer


def noise(seed, shape=(40, 50, 2), mean=2000, sd=400):
    """(y, x, channel) int16 noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(mean, sd, shape).clip(-32768, 32767).astype(np.int16)
