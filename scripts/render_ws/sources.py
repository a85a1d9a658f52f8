"""Sources: image and mask of a tile spec from the files that its URLs name.

Data sets of HDF5 and N5 (``file://PATH?dataSet=…&z=…``) and pictures that Pillow reads: TIFF of one
or many pages, PNG, JPEG, 8 or 16 bit; colours count as their mean. A level that is neither listed
in the spec nor found by its stack's mipmap path builder is made of the deepest one above it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import cv2
import numpy as np
from PIL import Image as Pictures

from scripts.lib.arrays import Float32, Image
from scripts.lib.drawing import filters, masks, pixels
from scripts.lib.numerics.reduction import halved
from scripts.lib.service.records import TileSpec
from scripts.render_ws import image_urls
from scripts.render_ws.errors import BadRequest
from scripts.render_ws.image_urls import DYNAMIC_MASK
from scripts.render_ws.model import Json

_MAX_IMAGE_PX = 1 << 30  # of a picture file: 32,768 squared
Pictures.MAX_IMAGE_PIXELS = None  # has a limit that microscopes exceed; the one above holds
_BROKEN = (OSError, SyntaxError, EOFError, ValueError, struct.error, KeyError, TypeError)
_RADIUS_PX = 500  # of the reference's default filter: a square about each pixel
_DEVIATIONS = 3.0
_NOISE = (64, 192)  # grey values, half open


@dataclass(frozen=True)
class Sources:
    """Where the pixels of tiles come from.

    ``specs`` by ``id()`` of the records: a request may hold two tiles of one name.
    """

    specs: Mapping[int, Json]
    builder: Json | None = None
    contrast: bool = False  # the default filter is asked for
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)

    def needed(self) -> bool:
        """Tell whether a tile needs more than what `compose` reads by itself."""
        return self.contrast or not all(_plain(spec) for spec in self.specs.values())

    def __call__(self, tile: TileSpec, level: int) -> tuple[Image, Image | None]:
        """Read image and mask of a tile at a level."""
        levels = self.specs[id(tile)]["mipmapLevels"]
        shape = (tile.height >> level, tile.width >> level)
        image = _level(levels, level, "image", self._derived)
        if image.shape[0] < shape[0] or image.shape[1] < shape[1]:
            raise BadRequest(
                f"tile {tile.tile_id!r}: its image is {image.shape[1]} x {image.shape[0]} px"
                f" at level {level}, its spec says {shape[1]} x {shape[0]}"
            )
        image = filters.unrounded(image[: shape[0], : shape[1]], tile, level)
        if self.contrast:
            image = _contrast(image, _RADIUS_PX >> level)
        return image, self.mask(tile, level)

    def mask(self, tile: TileSpec, level: int) -> Image | None:
        """Read the mask of a tile; one of another size than its image is left out."""
        url = tile.mask_url
        if url is None or url.startswith(DYNAMIC_MASK):
            return masks.read(url, (tile.height, tile.width), level)
        mask = _level(self.specs[id(tile)]["mipmapLevels"], level, "mask", self._derived)
        return mask if mask.shape == (tile.height >> level, tile.width >> level) else None

    def _derived(self, url: str, level: int) -> str | None:
        return None if self.builder is None else derived_url(self.builder, url, level)


def _plain(spec: Json) -> bool:
    """Tell whether a spec's pixels are a data set of HDF5, with a box for a mask."""
    first: Json = {}
    level, *more = spec["mipmapLevels"].values() or (first,)
    url, mask = level.get("imageUrl", ""), level.get("maskUrl") or DYNAMIC_MASK
    query = parse_qs(url.partition("?")[2])
    other = level.get("imageLoaderType") == "N5_SLICE" or query.keys() & {"x", "y", "w", "h"}
    return not more and "dataSet" in query and not other and mask.startswith(DYNAMIC_MASK)


def size(levels: Json) -> tuple[int, int]:
    """Return width and height of an image whose spec does not say them, px."""
    entry = levels.get("0") or {}
    url = entry.get("imageUrl", "")
    if "dataSet=" in url:
        return read(url, entry, "image").shape[1::-1]
    with _opened(url) as picture:
        return picture.size


# ---------------------------------------------------------------------------------------------
# levels
# ---------------------------------------------------------------------------------------------


def _level(levels: Json, level: int, kind: str, derive: Callable[[str, int], str | None]) -> Image:
    """Read the deepest level there is down to `level`, and halve it the rest of the way."""
    zero = levels.get("0") or {}
    if "dataSet=" in zero.get(f"{kind}Url", "") and set(levels) == {"0"}:
        return read(zero[f"{kind}Url"], zero, kind, level)
    for stored in range(level, -1, -1):
        entry = levels.get(str(stored)) or {}
        url = entry.get(f"{kind}Url") or (
            derive(zero.get(f"{kind}Url", ""), stored) if stored else None
        )
        if url is not None:
            try:
                image = read(url, entry or zero, kind)
            except BadRequest:
                if stored and not entry:  # was only guessed
                    continue
                raise
            return _halved(image, level - stored)
    raise BadRequest(f"a tile has no {kind}")


def _halved(image: Image, times: int) -> Image:
    for _ in range(times):
        image = halved(image.astype(np.float32, copy=False))
    return image


def derived_url(builder: Json, url: str, level: int) -> str | None:
    """Return the URL of a level after a stack's MipmapPathBuilder; None when it gives none."""
    if level > builder["numberOfLevels"] or not url or "imageMipmapPatternString" in builder:
        return None  # a pattern may take for ever; halving shows the same
    return f"{builder['rootPath']}{level}{url.partition(':')[2]}.{builder['extension']}"


# ---------------------------------------------------------------------------------------------
# files
# ---------------------------------------------------------------------------------------------


def read(url: str, entry: Json, kind: str, level: int = 0) -> Image:
    """Read an image or mask.

    Raises
    ------
    BadRequest
        When there is none, or it cannot be read.
    """
    if "dataSet=" in url:
        return _data_set(url, entry, level)
    page = entry.get(f"{kind}SliceNumber", 1)  # ImageJ counts from 1
    try:
        with _opened(url) as picture:
            picture.seek(max(page, 1) - 1)
            if picture.width * picture.height > _MAX_IMAGE_PX:
                raise BadRequest(f"{kind} {url!r:.300} has more than {_MAX_IMAGE_PX} pixels")
            return _grey(picture)
    except _BROKEN as error:
        raise BadRequest(f"{kind} {url!r:.300} cannot be read: {error}") from error


def _opened(url: str) -> Pictures.Image:
    path = image_urls.path_of(url)
    try:
        return Pictures.open(path)
    except _BROKEN as error:
        raise BadRequest(f"{path!r:.300} is absent, or no image that is read here") from error


def _grey(picture: Pictures.Image) -> Image:
    if picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
        picture = picture.convert("RGB")
    values: Image = np.asarray(picture)
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.ndim == 2:
        return values
    colours = values[..., : values.shape[2] - (values.shape[2] in (2, 4))]  # without alpha
    return np.asarray(np.rint(colours.mean(axis=2)), values.dtype)


def _data_set(url: str, entry: Json, level: int) -> Image:
    fields = parse_qs(url.partition("?")[2])
    try:
        numbers: dict[str, int] = {
            name: int(fields[name][0]) for name in ("x", "y", "w", "h") if name in fields
        }
        if entry.get("imageLoaderType") == "N5_SLICE":
            return _halved(_cropped(_n5(url, fields), numbers), level)
        if numbers:
            return _halved(_cropped(pixels.read_image(url), numbers), level)
        return pixels.read_image(url, level)
    except BadRequest:
        raise
    except _BROKEN as error:
        raise BadRequest(f"image {url!r:.300} cannot be read: {error}") from error


def _cropped(image: Image, numbers: Mapping[str, int]) -> Image:
    x, y = numbers.get("x", 0), numbers.get("y", 0)
    width, height = numbers.get("w", image.shape[1] - x), numbers.get("h", image.shape[0] - y)
    if min(x, y) < 0 or min(width, height) < 1:
        raise BadRequest(f"a part of an image at {x}, {y} of {width} x {height} px")
    return image[y : y + height, x : x + width]


def _n5(url: str, fields: Mapping[str, Sequence[str]]) -> Image:
    import tensorstore  # as big as all of the service

    folder = f"{image_urls.path_of(url.partition('?')[0])}/{fields['dataSet'][0].strip('/')}"
    spec: dict[str, Any] = {"driver": "n5", "kvstore": {"driver": "file", "path": folder}}
    store = tensorstore.open(spec, read=True).result()
    if store.ndim not in (2, 3):
        raise BadRequest(f"image {url!r:.300} has {store.ndim} dimensions")
    plane = store if store.ndim == 2 else store[:, :, int(fields.get("z", ["0"])[0])]
    return np.asarray(plane.read().result()).T


# ---------------------------------------------------------------------------------------------
# the reference's default filter
# ---------------------------------------------------------------------------------------------


def _contrast(image: Image, radius: int) -> Float32:
    """Put noise where a value is 0 or 255, then stretch each place's contrast.

    Within a square about a pixel, cut at the border of the image, mean - 3 to mean + 3 standard
    deviations become 0 to 255.
    """
    values = image.astype(np.float32)
    empty = (values == 0) | (values == 255)
    noise = np.random.default_rng(0).integers(*_NOISE, values.shape)  # the same each time
    values = np.where(empty, noise, values).astype(np.float32)
    mean, squares = (_local_mean(each, radius) for each in (values, values.astype(float) ** 2))
    deviation = np.sqrt(np.maximum(squares - mean**2, 1e-6))
    shown = (values - mean) / (2 * _DEVIATIONS * deviation) * 255 + 127.5
    return np.asarray(np.clip(shown, 0, 255), np.float32)


def _local_mean(values: Image, radius: int) -> Image:
    side = 2 * max(radius, 1) + 1
    total, count = (
        cv2.boxFilter(
            np.asarray(each, np.float64),
            cv2.CV_64F,
            (side, side),
            normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        )
        for each in (values, np.ones(values.shape))
    )
    return np.asarray(total / count)
