"""volume_transfer_info: the JSON config of the numbered scripts as a volume's YAML, and back.

What both know is mapped; the rest of the JSON, its residue, is kept word for word under the key
``volume_transfer_info`` of the YAML, which no rule reads. So nothing is lost, and the way back
gives the same JSON (defaults filled in, tasks in their usual order).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from scripts.lib.schema import known_keys

Json = dict[str, Any]

KEY = "volume_transfer_info"
COPY, RAW, ALIGN = (
    "COPY_SCOPE_DAT_TO_CLUSTER",
    "GENERATE_CLUSTER_H5_RAW",
    "GENERATE_CLUSTER_H5_ALIGN",
)
REMOVE, ARCHIVE = "REMOVE_DAT_AFTER_H5_CONVERSION", "ARCHIVE_H5_RAW"
CORRECT, IMPORT = "APPLY_FIBSEM_CORRECTION_TRANSFORM", "IMPORT_H5_ALIGN_INTO_RENDER"
USUAL_TASKS = (RAW, ALIGN, IMPORT)  # what this workflow always does
# the one correction that task CORRECT stands for
CORRECTION = {
    "class_name": "org.janelia.alignment.transform.SEMDistortionTransformA",
    "data": "19.4 64.8 24.4 972.0 0",
}
STACK = "v1_acquire"
_URL = re.compile(r"http://([A-Za-z0-9.-]+):(\d+)/render-ws/v1/?")
_ACQUISITION = {
    "rows": "rows_per_z_layer",
    "columns": "columns_per_z_layer",
    "pixel_nm": "dat_x_and_y_nm_per_pixel",
    "z_nm": "dat_z_nm_per_pixel",
    "first_dat": "first_dat_name",
    "last_dat": "last_dat_name",
}
_SCOPE = {
    "host": "host",
    "root_dat_path": "root_dat_path",
    "keep_path": "root_keep_path",
    "data_set_id": "data_set_id",
}
_MADE = ("raw_h5", "align_h5")
_FILL = {
    "x_px": "x",
    "y_px": "y",
    "width_px": "width",
    "height_px": "height",
    "threshold": "intensity_threshold",
    "value": "fill_intensity",
}


# ---------------------------------------------------------------------------------------------
# JSON -> YAML
# ---------------------------------------------------------------------------------------------


def to_config(
    info: Mapping[str, Any],
    schema: Mapping[str, Any],
    *,
    volume: str,
    work_dir: str | None,
    takeover: bool = False,
) -> Json:
    """Return the YAML of a volume; facts that the JSON lacks are left out.

    Parameters
    ----------
    info
        A JSON with all defaults filled in (`schema.validate`).
    schema
        That of the JSON: config/volume_transfer_info.schema.yaml.
    volume, work_dir
        As in the YAML; the JSON has no key of its own for either.
    takeover
        Whether the HDF5 files that the JSON names are there, and are gone on from.

    Returns
    -------
    dict
        As written in the YAML, without defaults.
    """
    config: Json = {"volume": volume} | ({"work_dir": work_dir} if work_dir else {})
    config |= {"render": _render(info), "acquisition": _acquisition(info)}
    config |= {"transfer": _transfer(info), "ingest": _ingest(info)}
    if takeover:
        config["takeover"] = _takeover(info)
    else:
        config["transfer"] |= _made(info)
    if payer := info["cluster_job_project_for_billing"]:
        config["cluster"] = {"billing_project": payer}
    if root := _finished(info, volume, work_dir):
        config["export"] = {"promote_root": root}
    config[KEY] = _residue(info, _known(config, _dat_root_is_archive(info)), schema)
    config[KEY]["transfer_tasks"] = [t for t in info["transfer_tasks"] if t not in _tasks(config)]
    return copy.deepcopy(config)


def _takeover(info: Mapping[str, Any]) -> Json:
    """Return the folders of HDF5 files that another pipeline made; raw ones end in the archive."""
    cluster, archive = info["cluster_root_paths"] or {}, info["archive_root_paths"] or {}
    raw = archive.get("raw_h5") or cluster.get("raw_h5")
    found = {"align_h5": cluster.get("align_h5"), "raw_h5": raw}
    return {key: path for key, path in found.items() if path}


def _made(info: Mapping[str, Any]) -> Json:
    """Return the folders where HDF5 files are made."""
    cluster = info["cluster_root_paths"] or {}
    return {key: cluster[key] for key in _MADE if cluster.get(key)}


def _finished(info: Mapping[str, Any], volume: str, work_dir: str | None) -> str | None:
    """Return the folder of ``export_n5``, of a volume that ends elsewhere."""
    path = PurePosixPath((info["cluster_root_paths"] or {}).get("export_n5") or "")
    folder = str(path.parent)
    return folder if path.name == f"{volume}.n5" and folder not in (work_dir, ".") else None


def _render(info: Mapping[str, Any]) -> Json:
    found = info["render_data_set"] or {}
    connect = found.get("connect")
    url = {"url": f"http://{connect['host']}:{connect['port']}/render-ws/v1"} if connect else {}
    return url | {key: found[key] for key in ("owner", "project") if key in found}


def _acquisition(info: Mapping[str, Any]) -> Json:
    found = info["scope_data_set"] or {}
    return {ours: found[theirs] for ours, theirs in _ACQUISITION.items() if theirs in found}


def _transfer(info: Mapping[str, Any]) -> Json:
    tasks, scope = info["transfer_tasks"], info["scope_data_set"]
    archive = (info["archive_root_paths"] or {}).get("raw_h5")
    root = dat_root(info)
    out: Json = {"dat_root": root} if root else {}
    out["mipmap_levels"] = info["max_mipmap_level"] or 0
    if scope and COPY in tasks:
        out["scope"] = {ours: scope[theirs] for ours, theirs in _SCOPE.items()}
    if archive and ARCHIVE in tasks:
        out["archive_root"] = archive
    out["remove_dats"] = REMOVE in tasks
    if info["fill_info"]:
        out["fill"] = [_fill(info["fill_info"], (scope or {}).get("columns_per_z_layer", 1))]
    return out


def dat_root(info: Mapping[str, Any]) -> str | None:
    """Return the folder of the ``.dat`` files: that of the cluster, else that of the archive.

    Parameters
    ----------
    info
        A JSON with all defaults filled in.

    Returns
    -------
    str or None
        None where the JSON names neither.
    """
    roots = (info["cluster_root_paths"] or {}, info["archive_root_paths"] or {})
    return next((root["raw_dat"] for root in roots if root.get("raw_dat")), None)


def _dat_root_is_archive(info: Mapping[str, Any]) -> bool:
    return bool(dat_root(info)) and not (info["cluster_root_paths"] or {}).get("raw_dat")


def _fill(fill: Mapping[str, Any], columns: int) -> Json:
    tiles = [f"0-{i // columns}-{i % columns}" for i in fill["tile_indexes"]]
    return {"tiles": tiles} | {ours: fill[theirs] for ours, theirs in _FILL.items()}


def _ingest(info: Mapping[str, Any]) -> Json:
    found, scope = info["render_data_set"] or {}, info["scope_data_set"] or {}
    out: Json = {
        "scan_correction": dict(CORRECTION) if CORRECT in info["transfer_tasks"] else None,
        "mask": {"left_px": found.get("mask_width"), "top_px": found.get("mask_height")},
    }
    if found:
        out["restart"] = {"context_layers": found["restart_context_layer_count"]}
    if scope:
        out["tile_overlap_um"] = scope["dat_tile_overlap_microns"]
    return out


def _residue(info: Mapping[str, Any], known: Mapping[str, Any], schema: Mapping[str, Any]) -> Json:
    """Return what `known` does not say and what is not the default of the JSON."""
    out: Json = {}
    for key, sub in schema["properties"].items():
        if key not in info:
            continue
        value = info[key]
        if isinstance(value, Mapping) and "properties" in sub:
            rest = _residue(value, known.get(key) or {}, sub)
            if rest or key not in known:
                out[key] = rest
        elif key in known:
            if known[key] != value:
                out[key] = value
        elif "default" not in sub or value != sub["default"]:
            out[key] = value
    return out


# ---------------------------------------------------------------------------------------------
# YAML -> JSON
# ---------------------------------------------------------------------------------------------


def from_config(config: Mapping[str, Any]) -> Json:
    """Return the JSON of a volume's YAML, without the defaults of the JSON.

    Parameters
    ----------
    config
        As written: a section that is left out is left out here.

    Returns
    -------
    dict
        As written in the JSON.
    """
    residue = copy.deepcopy(config.get(KEY) or {})
    archive = (residue.get("archive_root_paths") or {}).get("raw_dat")
    in_archive = archive is not None and archive == config.get("transfer", {}).get("dat_root")
    info = _merged(residue, _known(config, in_archive))
    others = residue.get("transfer_tasks", USUAL_TASKS)
    info["transfer_tasks"] = ordered({*_tasks(config), *others})
    info.setdefault("transfer_id", _transfer_id(config))
    return info


def ordered(tasks: Iterable[str]) -> list[str]:
    """Put tasks into the order they are done in; unknown ones last.

    Parameters
    ----------
    tasks
        Names of tasks, in any order.

    Returns
    -------
    list of str
        Each once.
    """
    usual = [COPY, RAW, "GENERATE_ARCHIVE_H5_RAW", ALIGN, REMOVE, ARCHIVE, IMPORT, CORRECT]
    usual += ["EXPORT_PREVIEW_VOLUME", "ARCHIVE_DAT"]
    return sorted(set(tasks), key=lambda t: (usual.index(t) if t in usual else len(usual), t))


def _known(config: Mapping[str, Any], dat_root_is_archive: bool) -> Json:
    """Return what the mapped keys of a config say, in the words of the JSON."""
    transfer, ingest = config.get("transfer", {}), config.get("ingest", {})
    out: Json = {}
    scope = {
        t: config["acquisition"][o] for o, t in _ACQUISITION.items() if o in config["acquisition"]
    }
    scope |= {
        t: transfer["scope"][o] for o, t in _SCOPE.items() if o in (transfer.get("scope") or {})
    }
    if "tile_overlap_um" in ingest:
        scope["dat_tile_overlap_microns"] = ingest["tile_overlap_um"]
    if scope:
        out["scope_data_set"] = scope
    if roots := _cluster_roots(config, dat_root_is_archive):
        out["cluster_root_paths"] = roots
    if transfer.get("archive_root"):
        out["archive_root_paths"] = {"raw_h5": transfer["archive_root"]}
    if "mipmap_levels" in transfer:
        out["max_mipmap_level"] = transfer["mipmap_levels"] or None
    if fill := transfer.get("fill"):
        out["fill_info"] = _fill_info(fill[0], config["acquisition"].get("columns", 1))
    if payer := config.get("cluster", {}).get("billing_project"):
        out["cluster_job_project_for_billing"] = payer
    if found := _render_data_set(config.get("render", {}), ingest):
        out["render_data_set"] = found
    return out


def _cluster_roots(config: Mapping[str, Any], dat_root_is_archive: bool) -> Json:
    transfer = config.get("transfer", {})
    out = {key: transfer[key] for key in _MADE if transfer.get(key)}
    if "dat_root" in transfer and not dat_root_is_archive:
        out["raw_dat"] = transfer["dat_root"]
    if root := config.get("export", {}).get("promote_root"):
        out["export_n5"] = str(PurePosixPath(root) / f"{config['volume']}.n5")
    return out


def _render_data_set(render: Mapping[str, Any], ingest: Mapping[str, Any]) -> Json:
    out = {key: render[key] for key in ("owner", "project") if key in render}
    if not out:
        return {}
    mask = ingest.get("mask")
    if isinstance(mask, Mapping):  # not one mask per range of z
        masks = {"mask_width": "left_px", "mask_height": "top_px"}
        out |= {theirs: mask[ours] for theirs, ours in masks.items() if ours in mask}
    if "context_layers" in ingest.get("restart", {}):
        out["restart_context_layer_count"] = ingest["restart"]["context_layers"]
    if match := _URL.fullmatch(render.get("url", "")):
        out["connect"] = {"host": match[1], "port": int(match[2])}
    return out


def _fill_info(fill: Mapping[str, Any], columns: int) -> Json:
    cells = [tuple(int(v) for v in key.split("-")[1:]) for key in fill["tiles"]]
    indexes = [row * columns + column for row, column in cells]
    return {"tile_indexes": indexes} | {theirs: fill[ours] for ours, theirs in _FILL.items()}


def _tasks(config: Mapping[str, Any]) -> list[str]:
    """Tasks that the mapped keys of a config ask for."""
    transfer = config.get("transfer", {})
    wanted = {
        COPY: bool(transfer.get("scope")),
        REMOVE: bool(transfer.get("remove_dats")),
        ARCHIVE: bool(transfer.get("archive_root")),
        CORRECT: bool(config.get("ingest", {}).get("scan_correction")),
    }
    return [task for task, on in wanted.items() if on]


def _transfer_id(config: Mapping[str, Any]) -> str:
    host = (config.get("transfer", {}).get("scope") or {}).get("host", "")
    return f"{config['render']['owner']}::{config['volume']}::{host}"


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Json:
    """Lay `above` over `below`, section by section."""
    out = dict(below)
    for key, value in above.items():
        inner = below.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            out[key] = _merged(inner, value)
        else:
            out[key] = value
    return out


def not_in_json(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Name what of a config no volume_transfer_info can hold.

    Parameters
    ----------
    config
        As written in the YAML.
    schema
        That of the JSON.

    Returns
    -------
    list of str
        A line for each key.
    """
    out = []
    if len(config.get("transfer", {}).get("fill") or []) > 1:
        out.append("transfer.fill: only the first of its rectangles")
    url = config.get("render", {}).get("url", "")
    if url and not _URL.fullmatch(url):
        out.append(f"render.url: only http://host:port/render-ws/v1, not {url}")
    correction = config.get("ingest", {}).get("scan_correction")
    if correction and (isinstance(correction, list) or CORRECTION | correction != CORRECTION):
        out.append(f"ingest.scan_correction: always {CORRECTION['data']} there")
    # the last two have a task in place of a field
    mapped = {"volume", "work_dir", KEY, "transfer.remove_dats", "ingest.scan_correction"}
    # what these say stays where the JSON has it, in the residue
    mapped |= {"takeover.align_h5", "takeover.raw_h5"}
    mapped |= {sub["yaml"].partition("[]")[0] for _, sub in known_keys(schema) if "yaml" in sub}
    return out + [
        f"{path}: no field there" for path in _leaves(config, "", mapped) if path not in mapped
    ]


def _leaves(value: Any, path: str, mapped: set[str]) -> Iterable[str]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, Mapping) or path in mapped:
        yield path
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{path}.{key}" if path else key, mapped)
