"""Metadata: the documents of N5 and OME-Zarr volumes.

zarr-python and ome-zarr-models lay the OME-Zarr hierarchies out, in memory, and check them;
numcodecs and zarr name the codecs. N5, which they do not know, is written out here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.volumes.multiscale import Target, VolumeSpec, level_geometry_nm

Documents = dict[Path, dict[str, Any]]

# of an N5 level: what its blocks do not depend on
_PLACE = {"downsamplingFactors", "pixelResolution", "transform"}


def create(
    target: Target,
    spec: VolumeSpec,
    attributes: Mapping[str, Any] | None = None,
    *,
    consolidated: bool = False,
) -> None:
    """Write all metadata of a volume; blocks already there stay when they fit the new metadata.

    Levels whose shape, block, type or codec changed are removed with their blocks, and levels
    beyond the last. A volume that only grew in z keeps its blocks: their places are the same. A
    level 0 that is a link keeps the metadata it has.

    Parameters
    ----------
    target
        Where the volume lives.
    spec
        Its geometry.
    attributes
        Added to those of the multiscale group (provenance); plain JSON values.
    consolidated
        Of Zarr 2 (OME-Zarr 0.4) also ``.zmetadata`` in the multiscale group, which moves with it.
    """
    _drop_levels_beyond(target, spec.levels)
    make = _n5 if target.layout.family == "n5" else _ome_zarr
    levels = {target.folder(level) for level in range(spec.levels)}
    documents = make(target, spec, dict(attributes or {}))
    summary = target.group / ".zmetadata"
    summary.unlink(missing_ok=True)  # never beside levels that it does not describe
    for path, document in documents.items():
        if path.parent in levels:
            if path.parent.is_symlink():
                continue
            if path.exists() and not _keeps_blocks(files.read_json(path), document):
                shutil.rmtree(path.parent)
        files.write_json(path, document)
    if consolidated and target.layout.driver == "zarr":
        files.write_json(summary, _consolidated(target, documents))


def annotate(target: Target, attributes: Mapping[str, Any]) -> None:
    """Set attributes of the multiscale group of a volume that is there; all else stays.

    Parameters
    ----------
    target
        Where the volume lives.
    attributes
        Plain JSON values.
    """
    if target.layout.family == "n5":
        _set(target.group / "attributes.json", (), attributes)
    elif target.layout.driver == "zarr":
        _set(target.group / ".zattrs", (), attributes)
        if (summary := target.group / ".zmetadata").exists():
            _set(summary, ("metadata", ".zattrs"), attributes)
    else:
        _set(target.group / "zarr.json", ("attributes",), attributes)


def _set(path: Path, within: tuple[str, ...], attributes: Mapping[str, Any]) -> None:
    """Update a part of a JSON document, found by its keys."""
    document = part = files.read_json(path)
    for key in within:
        part = part[key]
    if {**part, **attributes} != part:
        part.update(attributes)
        files.write_json(path, document)


def _consolidated(target: Target, documents: Documents) -> dict[str, Any]:
    """Return the metadata of a group and its arrays in one, as zarr-python's readers take it."""
    within = (path for path in documents if path.is_relative_to(target.group))
    found = {path.relative_to(target.group).as_posix(): documents[path] for path in within}
    return {"zarr_consolidated_format": 1, "metadata": found}


def _drop_levels_beyond(target: Target, levels: int) -> None:
    level = levels
    while target.folder(level).exists():
        shutil.rmtree(target.folder(level))
        level += 1


def _keeps_blocks(known: Mapping[str, Any], array: Mapping[str, Any]) -> bool:
    """Tell whether blocks written under `known` metadata are valid under that of `array`."""
    changed = {key for key, value in array.items() if known.get(key, value) != value} - _PLACE
    if changed not in ({"dimensions"}, {"shape"}):
        return not changed
    turn = -1 if changed == {"dimensions"} else 1  # N5: x, y, z
    (key,) = changed
    (old_z, *old_yx), (new_z, *new_yx) = known[key][::turn], array[key][::turn]
    return bool(old_yx == new_yx and old_z <= new_z)


# ---------------------------------------------------------------------------------------------
# N5
# ---------------------------------------------------------------------------------------------


def _n5(target: Target, spec: VolumeSpec, attributes: dict[str, Any]) -> Documents:
    shown = {"neuroglancer_supported": True}
    above = [Path(target.container) / part for part in Path(target.dataset).parents[-2::-1]]
    folders = {Path(target.container): {"n5": "4.0.0"} | shown} | dict.fromkeys(above, shown)
    folders[target.group] = _n5_group(spec) | attributes
    packed: dict[str, Any] = {"type": target.codec, "level": target.codec_level}
    packed |= {"useZlib": False} if target.codec == "gzip" else {}
    for level in range(spec.levels):
        array = {
            "dimensions": list(spec.level_shape(level)[::-1]),
            "blockSize": list(spec.block_zyx[::-1]),
            "dataType": spec.dtype,
            "compression": packed,
        }
        folders[target.folder(level)] = array | _n5_level(spec, level)
    return {folder / "attributes.json": document for folder, document in folders.items()}


def _n5_group(spec: VolumeSpec) -> dict[str, Any]:
    """Return what neuroglancer, n5-viewer and BigDataViewer read of the group; x, y, z.

    ``translate`` is in voxels. ``multiscales`` is COSEM's (cellmap-schemas, fibsem-tools).
    """
    datasets = [{"path": f"s{k}", "transform": _n5_transform(spec, k)} for k in range(spec.levels)]
    return {
        "neuroglancer_supported": True,
        "axes": ["x", "y", "z"],
        "ordering": "F",
        "units": ["nm", "nm", "nm"],
        "scales": [list(spec.factors_zyx(k)[::-1]) for k in range(spec.levels)],
        "pixelResolution": {"dimensions": list(spec.voxel_nm_zyx[::-1]), "unit": "nm"},
        "translate": list(spec.place_px_zyx[::-1]),
        "multiscales": [{"name": None, "datasets": datasets}],
    }


def _n5_level(spec: VolumeSpec, level: int) -> dict[str, Any]:
    """Return the attributes of a level beside those of the array; nm.

    ``pixelResolution`` (x, y, z) is that of the level, as COSEM has it. Readers multiply it by
    ``downsamplingFactors``: Fiji where there is no ``transform`` (it takes 2 ** level where there
    are none), neuroglancer where it opens a level alone. So these are 1.
    """
    transform = _n5_transform(spec, level)
    return {
        "downsamplingFactors": [1, 1, 1],
        "pixelResolution": {"dimensions": transform["scale"][::-1], "unit": "nm"},
        "transform": transform,
    }


def _n5_transform(spec: VolumeSpec, level: int) -> dict[str, Any]:
    """Return scale and place of a level, z, y, x.

    Fiji and n5-viewer take the numbers in this order whatever axes and ordering say.
    """
    scale, place = level_geometry_nm(spec, level)
    return {
        "axes": ["z", "y", "x"],
        "order": "C",
        "ordering": "C",
        "units": ["nm", "nm", "nm"],
        "scale": list(scale),
        "translate": list(place),
    }


# ---------------------------------------------------------------------------------------------
# OME-Zarr
# ---------------------------------------------------------------------------------------------


def _ome_zarr(target: Target, spec: VolumeSpec, attributes: dict[str, Any]) -> Documents:
    """Lay the hierarchy out in memory; z, y, x in nm, origin and half voxels included."""
    # half a second to import, for the jobs that make hierarchies
    import ome_zarr_models.v04
    import ome_zarr_models.v05
    import pydantic_zarr.v2
    import pydantic_zarr.v3
    import zarr

    old = target.layout.driver == "zarr"
    model: Any = ome_zarr_models.v04 if old else ome_zarr_models.v05
    array_spec: Any = (pydantic_zarr.v2 if old else pydantic_zarr.v3).ArraySpec
    stored: dict[str, Any] = {}
    store = zarr.storage.MemoryStore(stored)
    levels = range(spec.levels)
    arrays = [_zarr_array(store, target, spec, level) for level in levels]
    places = [level_geometry_nm(spec, level) for level in levels]
    image = model.Image.new(
        array_specs=[array_spec.from_zarr(array) for array in arrays],
        paths=[f"s{level}" for level in levels],
        axes=[model.axes.Axis(name=axis, type="space", unit="nanometer") for axis in "zyx"],
        scales=[scale for scale, _ in places],
        translations=[shift for _, shift in places],
        name=f"/{target.dataset}",
        multiscale_type="mean",
        global_scale=[1.0, 1.0, 1.0],
    )
    ome = image.attributes.model_dump(mode="json", exclude_none=True)
    zarr.open_group(store, path=target.dataset, mode="a").update_attributes(ome | attributes)
    documents = {name: json.loads(text.to_bytes()) for name, text in stored.items()}
    return {Path(target.container) / name: value for name, value in documents.items() if value}


def _zarr_array(store: Any, target: Target, spec: VolumeSpec, level: int) -> Any:  # noqa: ANN401
    import numcodecs
    import zarr

    codec: Any
    how: dict[str, Any]
    if target.layout.driver == "zarr":
        separator = target.layout.separator
        codec = numcodecs.get_codec({"id": target.codec, "level": target.codec_level})
        how = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": separator}}
    else:
        named: Any = zarr.registry.get_codec_class(target.codec)
        codec = named(level=target.codec_level)
        how = {"shards": target.unit_zyx(spec.block_zyx), "dimension_names": "zyx"}
    return zarr.create_array(
        store,
        name=f"{target.dataset}/s{level}",
        shape=spec.level_shape(level),
        chunks=spec.block_zyx,
        dtype=spec.dtype,
        filters=None,
        compressors=codec,
        fill_value=0,
        **how,
    )
