"""Blocks: the files of N5 and Zarr 2 volumes, packed here.

ISA-L takes an eighth of the time of the zlib inside tensorstore, and libzstd with one kept context
half of tensorstore's, where voxels are copied once more.
"""

from __future__ import annotations

import functools
import itertools
import struct
from typing import Literal

import numpy as np
import zstandard
from isal import igzip

from scripts.lib.arrays import Voxels

ISAL_MOST = 3  # ISA-L's highest level; its levels 1 to 3 pack images alike, within 0.5 %


def n5_file(block: Voxels, codec: str, level: int) -> tuple[bytes, bytes]:
    """Return the file of an N5 block, in two parts: head and packed voxels.

    Parameters
    ----------
    block
        (z, y, x), cut at the volume's border.
    codec, level
        As of `pack`.

    Returns
    -------
    tuple of bytes
        To be written one behind the other.
    """
    head = struct.pack(">HHIII", 0, 3, *block.shape[::-1])
    return head, pack(_in_one_piece(block, ">"), codec, level)


def zarr_file(
    block: Voxels, unit: tuple[int, int, int], codec: str, level: int
) -> tuple[bytes, bytes]:
    """Return the file of a Zarr 2 chunk, in two parts, the first empty.

    Parameters
    ----------
    block
        (z, y, x), cut at the volume's border; filled up with zeros.
    unit
        Voxels of a whole chunk, z, y, x.
    codec, level
        As of `pack`.

    Returns
    -------
    tuple of bytes
        To be written one behind the other.
    """
    return b"", pack(filled(_in_one_piece(block, "<"), unit), codec, level)


def _in_one_piece(block: Voxels, order: Literal["<", ">"]) -> Voxels:
    """Return a block contiguous and in a byte order, copied once."""
    if block.itemsize == 1 and not block.flags.c_contiguous:
        from scripts.lib.volumes import compiled  # a second to import, for jobs that pack volumes

        return compiled.contiguous(block)
    return np.ascontiguousarray(block, block.dtype.newbyteorder(order))


def filled(block: Voxels, unit: tuple[int, ...]) -> Voxels:
    """Return a block filled up with zeros behind its end.

    Parameters
    ----------
    block
        Of any number of axes.
    unit
        The shape that is wanted.

    Returns
    -------
    Voxels
        Contiguous, of shape `unit`; the block itself when it has that shape already.
    """
    if block.shape == unit:
        return np.ascontiguousarray(block)
    whole = np.zeros(unit, block.dtype)
    whole[tuple(slice(0, n) for n in block.shape)] = block
    return whole


def pack(block: Voxels, codec: str, level: int) -> bytes:
    """Compress an array.

    Parameters
    ----------
    block
        Contiguous.
    codec
        ``"gzip"`` or ``"zstd"``.
    level
        Of the codec; above `ISAL_MOST` gzip packs as at that.

    Returns
    -------
    bytes
        The packed voxels.
    """
    if codec == "gzip":
        return igzip.compress(block.data, min(level, ISAL_MOST), mtime=0)
    return _zstd(level).compress(block.data)


@functools.cache
def _zstd(level: int) -> zstandard.ZstdCompressor:
    """Keep a compressor: making its tables anew for each block takes a third more time."""
    return zstandard.ZstdCompressor(level=level)


def is_empty(block: Voxels) -> bool:
    """Tell whether a block is all zeros; one edge of it mostly shows that it is not.

    Parameters
    ----------
    block
        (z, y, x).

    Returns
    -------
    bool
        True for nothing but zeros.
    """
    return not (block[0, 0].any() or block.any())


def count_nonzero(voxels: Voxels, block_zyx: tuple[int, int, int]) -> int:
    """Count the blocks of an array that hold anything but zeros: those stored.

    Parameters
    ----------
    voxels
        (z, y, x); its first voxel is the first of a block.
    block_zyx
        Voxels of a block.

    Returns
    -------
    int
        Number of blocks.
    """
    starts = [range(0, size, n) for size, n in zip(voxels.shape, block_zyx, strict=True)]
    return sum(
        not is_empty(voxels[z : z + block_zyx[0], y : y + block_zyx[1], x : x + block_zyx[2]])
        for z, y, x in itertools.product(*starts)
    )
