"""OME-Zarr (version 2 and 3) and N5: an array of a container as slices, by tensorstore."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.transfer.dat import DatError
from scripts.transfer.images import N5, Facts, plausible

NM = {
    **{"picometer": 1e-3, "nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6},
    **{"angstrom": 0.1, "meter": 1e9, "nm": 1.0, "um": 1e3, "µm": 1e3, "mm": 1e6},
}
CACHE_BYTES = 1_000_000_000  # of decoded blocks: one that is many slices thick is read once
_METADATA = (".zarray", "zarr.json", "attributes.json", ".zgroup", ".zattrs")
Json = Mapping[str, Any]


def is_container(folder: Path) -> bool:
    """Tell whether a folder holds an array or a group of Zarr or N5.

    Parameters
    ----------
    folder
        Any.

    Returns
    -------
    bool
        True where one of their files of metadata is in it.
    """
    return any((folder / name).is_file() for name in _METADATA)


class ChunkedImages:
    """One array; its axes are those of the multiscales, or z, y, x.

    Parameters
    ----------
    kind
        ``zarr`` or ``n5``.
    path
        Folder of the container.
    dataset
        The array in it; None: the first of its multiscales.
    """

    def __init__(self, kind: str, path: Path, dataset: str | None) -> None:
        self._name = path.name
        self._levels = {} if kind == N5 else _multiscales(path)
        first = (self._levels.get("datasets") or [{}])[0]
        inner = dataset if dataset is not None else first.get("path")
        if inner is None:
            inner = "s0" if kind == N5 and (path / "s0").is_dir() else ""
        self._folder = path / inner if inner else path
        try:
            self._store = _opened(kind, self._folder)
        except (OSError, ValueError) as error:
            where = f"{self._name}/{inner}" if inner else self._name
            said = "there is no such array" if not is_container(self._folder) else _line(error)
            raise DatError(f"{where}: not readable as {kind}: {said}") from error
        self._axes = self._axis_names()
        self.facts = self._facts(kind, path, inner)

    def close(self) -> None:
        """Let go of nothing: blocks are files of their own."""

    def plane(self, index: int) -> NDArray[Any]:
        """Read the slice `index`: (y, x, channel), of the type of the array.

        Parameters
        ----------
        index
            Number of the slice, from 0.

        Returns
        -------
        ndarray
            (y, x, channel), type of the file.
        """
        self.facts.require_plane(index, self._name)
        chosen = {"z": index, "t": 0}
        place = tuple(chosen.get(axis, slice(None)) for axis in self._axes)
        left = [axis for axis in self._axes if axis not in chosen]
        try:
            image = np.asarray(self._store[place].read().result())
        except (OSError, ValueError) as error:
            raise DatError(f"{self._name}: slice {index}: {_line(error)}") from error
        if "c" not in left:
            return image[:, :, np.newaxis]
        return np.moveaxis(image, [left.index(axis) for axis in "yxc"], [0, 1, 2])

    def _axis_names(self) -> str:
        known = self._levels.get("axes", ())
        said = [a.get("name") if isinstance(a, Mapping) else a for a in known]
        count = self._store.ndim
        axes = "".join(map(str, said)) if len(said) == count else "tczyx"[-count:]
        size = dict(zip(axes, self._store.shape, strict=False))
        if len(axes) != count or not set("yx") <= set(axes) <= set("tczyx") or size.get("t", 1) > 1:
            shape = " x ".join(map(str, self._store.shape))
            raise DatError(f"{self._name}: expected axes z, y, x, found {axes} of {shape}")
        return axes

    def _facts(self, kind: str, path: Path, inner: str) -> Facts:
        size = dict(zip(self._axes, self._store.shape, strict=True))
        scale, at = self._transforms(inner)
        scale = _n5_scale([self._folder, path]) if kind == N5 else scale
        position = (at["x"], at["y"]) if {"x", "y"} <= at.keys() else None
        return Facts(
            planes=size.get("z", 1),
            channels=size.get("c", 1),
            height=size["y"],
            width=size["x"],
            dtype=np.dtype(self._store.dtype.numpy_dtype),
            pixel_nm=plausible(scale.get("x")),
            z_nm=plausible(scale.get("z")),
            position_nm=position,
        )

    def _transforms(self, inner: str) -> tuple[dict[str, float], dict[str, float]]:
        """Return scale and translation of the array in nm, by axis."""
        axes = self._levels.get("axes", ())
        units = [a.get("unit", "") if isinstance(a, Mapping) else "" for a in axes]
        mine = [d for d in self._levels.get("datasets", ()) if d.get("path") == inner]
        out: dict[str, dict[str, float]] = {"scale": {}, "translation": {}}
        for each in mine[0].get("coordinateTransformations", ()) if mine else ():
            values = each.get(each.get("type"), ())
            for axis, unit, value in zip(self._axes, units, values, strict=False):
                if each.get("type") in out and unit in NM:
                    out[each["type"]][axis] = float(value) * NM[unit]
        return out["scale"], out["translation"]


def _opened(kind: str, folder: Path) -> Any:  # noqa: ANN401 - tensorstore has no types
    import tensorstore  # as big as all else of a transfer

    driver = kind if kind == N5 else "zarr3" if (folder / "zarr.json").exists() else "zarr"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(folder)}}
    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": CACHE_BYTES}})
    store = tensorstore.open(spec, open=True, read=True, context=context).result()
    return store.T if kind == N5 else store


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _multiscales(path: Path) -> Json:
    """Return the first multiscales of a group, wherever its version keeps them."""
    attributes = _json(path / "zarr.json").get("attributes", {})
    for said in (attributes.get("ome", {}), attributes, _json(path / ".zattrs")):
        levels: Sequence[Json] = said.get("multiscales", ())
        if levels:
            return levels[0]
    return {}


def _n5_scale(folders: Sequence[Path]) -> dict[str, float]:
    """Return the size of a voxel in nm by axis, from the attributes of the array or its group."""
    for said in map(_json, (folder / "attributes.json" for folder in folders)):
        pixel, plain = said.get("pixelResolution"), said.get("resolution")
        unit = NM.get(str(pixel.get("unit", "nm"))) if isinstance(pixel, Mapping) else 1.0
        sizes = pixel.get("dimensions", ()) if isinstance(pixel, Mapping) else pixel or plain or ()
        if unit and len(sizes) >= 2:
            return {axis: float(n) * unit for axis, n in zip("xyz", sizes, strict=False)}
    return {}
