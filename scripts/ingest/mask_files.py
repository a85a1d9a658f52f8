"""Masks against tiles; copies of those that are pictures, which tile specs name."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.ingest.headers import Part
from scripts.ingest.settings import Mask, Picture
from scripts.lib.arrays import Bool
from scripts.lib.drawing import masks
from scripts.lib.files import read_table, write_bytes
from scripts.lib.job import UserError

COLUMNS = ("image", "file", "width", "height", "hidden_pct")
FOLDER = Path("ingest/masks")


def copied(image: str) -> dict[str, Any]:
    """Copy a picture to where tile specs find it.

    Parameters
    ----------
    image
        Path of the picture.

    Returns
    -------
    dict
        `COLUMNS`.

    Raises
    ------
    UserError
        When it cannot be read, or no pixel of it is white.
    """
    from PIL import Image

    try:
        shown = masks.picture(image)
    except ValueError as error:
        raise UserError(f"ingest.mask: {error}") from error
    if not shown.any():
        raise UserError(
            f"ingest.mask: {image} has no white pixel (255 in 8 bits, 65535 in 16): it would hide"
            " all of its tiles; white is what is kept"
        )
    values = np.where(shown, np.uint8(masks.WHITE), np.uint8(0))
    name = hashlib.sha256(repr(shown.shape).encode() + np.packbits(shown).tobytes()).hexdigest()
    path = FOLDER / f"{name[:16]}.png"
    packed = io.BytesIO()
    Image.fromarray(values).save(packed, "png")
    if not path.exists() or path.read_bytes() != packed.getvalue():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, packed.getvalue())
    high, wide = shown.shape
    hidden = round(100 * (1 - float(shown.mean())), 3)
    return dict(zip(COLUMNS, (image, path, wide, high, hidden), strict=True))


def read(table: str | None) -> dict[str, Picture]:
    """Return the pictures of a table.

    Parameters
    ----------
    table
        ``ingest/masks.tsv``; None or empty: there are none.

    Returns
    -------
    dict
        By the path in the config.
    """
    rows = read_table(table) if table else []
    return {
        row["image"]: Picture(row["file"], int(row["width"]), int(row["height"])) for row in rows
    }


def misfits(part: Part, masks: Sequence[Mask]) -> Iterator[tuple[Bool, str]]:
    """Find tiles whose mask is of another size, or hides all of them.

    Parameters
    ----------
    part
        The tiles of a day.
    masks
        Of the settings.

    Yields
    ------
    tuple
        (n,) which tiles, and the problem with fields for ``width`` and ``height``.
    """
    width, height = part.tiles["width"], part.tiles["height"]
    free = np.ones(len(part.z), bool)
    for mask in sorted(masks, key=lambda each: -each.narrow):
        mine = free & (part.z >= mask.z_first) & (part.z <= mask.z_last)
        for name in ("row", "column"):
            if (index := getattr(mask, name)) is not None:
                mine &= part.tiles[name] == index
        free &= ~mine
        named = str(mask).replace("{", "{{").replace("}", "}}")
        if (known := mask.picture) is not None:
            wrong = mine & ((width != known.width) | (height != known.height))
            size = f"{known.width} x {known.height} px"
            text = f"ingest.mask: {named} is of {size}, the tile of {{width}} x {{height}} px"
        else:
            across, down = mask.left_px + mask.right_px, mask.top_px + mask.bottom_px
            wrong = mine & ((width <= across) | (height <= down))
            text = f"ingest.mask ({named}) hides all of an image of {{width}} x {{height}} px"
        yield wrong, text
