"""Turn volume_transfer_info.*.json into YAML files of volumes, or back.

``python -m scripts.transfer.volume_transfer_info FILE.json ... --out DIR`` writes DIR/<name>.yaml
for each volume_transfer_info.<name>.json. Nothing is guessed: all that a person has to decide is
listed at once, file by file; such a file is written with ``--draft`` only, as <name>.draft.yaml,
and the exit status is 1. ``--reverse`` takes YAML files and writes
volume_transfer_info.<name>.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from scripts.lib import files, yaml_files
from scripts.lib.job import UserError
from scripts.lib.schema import validate
from scripts.transfer import transfer_info, transfer_info_checks
from scripts.transfer.transfer_info_checks import Remark

_CONFIG = Path(__file__).resolve().parents[2] / "config"
_TASKS = "transfer_tasks"


@dataclass
class Conversion:
    """One file on its way: what was read, what came of it, and what is to be said about it."""

    source: Path
    target: Path
    info: Mapping[str, Any] | None = None
    text: str = ""
    remarks: list[Remark] = field(default_factory=list)

    @property
    def needs_person(self) -> bool:
        """Tell whether somebody has to decide something.

        Returns
        -------
        bool
            True when a remark asks for a decision.
        """
        return any(remark.person for remark in self.remarks)


def convert(
    paths: Sequence[Path],
    out: Path,
    *,
    work_root: str | None,
    now: datetime,
    takeover: bool = False,
) -> list[Conversion]:
    """Convert JSON files to the text of YAML files; nothing is written.

    Parameters
    ----------
    paths
        JSON files.
    out
        Folder of the YAML files.
    work_root
        Folder of the working directories; None: where the align HDF5 of each lie.
    now
        Local time.
    takeover
        Whether the HDF5 files that they name are there, and are gone on from.

    Returns
    -------
    list of Conversion
        One for each file, in order.
    """
    schemas = _schema("volume_transfer_info.schema.yaml"), _schema("schema.yaml")
    done = [_read(path, out / f"{_name(path)}.yaml", schemas[0]) for path in paths]
    together = transfer_info_checks.overlaps(
        {str(one.source): one.info for one in done if one.info is not None}
    )
    for one in done:
        if one.info is not None:
            one.remarks += transfer_info_checks.remarks(one.info, now)
            one.remarks += together.get(str(one.source), [])
            _to_yaml(one, schemas, work_root, takeover=takeover)
    _refuse_same_target(done)
    return done


def _name(path: Path) -> str:
    return path.name.removesuffix(".json").removeprefix("volume_transfer_info.")


def _schema(name: str) -> dict[str, Any]:
    return dict(yaml_files.read(_CONFIG / name))


def _read(path: Path, target: Path, schema: Mapping[str, Any]) -> Conversion:
    """Read and check one JSON by the schema; all faults become remarks."""
    one = Conversion(path, target)
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        one.remarks.append(Remark(f"not readable as JSON: {error}"))
        return one
    if not isinstance(info, dict):
        one.remarks.append(Remark("expected one JSON object"))
        return one
    one.remarks += _unknown_tasks(info, schema)
    one.remarks += _faults(info, schema)
    _drop_unknown(info, schema)
    if not _faults(info, schema):  # a file whose values have the wrong form is not trusted further
        one.info = info
        info["max_mipmap_level"] = info["max_mipmap_level"] or None  # 0, too, is full scale alone
    return one


def _drop_unknown(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Take unknown keys out of `value`, in place: they were named, the others are looked at."""
    known = schema.get("properties", {})
    for key in [key for key in value if key not in known]:
        del value[key]
    for key, inner in value.items():
        if isinstance(inner, dict):
            _drop_unknown(inner, known[key])


def _unknown_tasks(info: dict[str, Any], schema: Mapping[str, Any]) -> list[Remark]:
    """Take unknown tasks out of `info`, in place, and name them with the nearest known one."""
    known = schema["properties"][_TASKS]["items"]["enum"]
    tasks = info.get(_TASKS)
    if not isinstance(tasks, list):
        return []
    unknown = [task for task in tasks if task not in known]
    info[_TASKS] = [task for task in tasks if task in known]
    near = transfer_info_checks.nearest_task
    return [
        Remark(f"{_TASKS}: unknown task {task!r}; the nearest is {near(str(task), known)}")
        for task in unknown
    ]


def _faults(value: dict[str, Any], schema: Mapping[str, Any]) -> list[Remark]:
    """Fill in defaults, in place, and give one remark per fault of form."""
    try:
        validate(value, schema)
    except UserError as error:
        return [Remark(line.strip()) for line in str(error).splitlines()[1:]]
    return []


def _to_yaml(
    one: Conversion,
    schemas: tuple[dict[str, Any], dict[str, Any]],
    work_root: str | None,
    *,
    takeover: bool = False,
) -> None:
    info = one.info or {}
    volume = _volume(one, info)
    work_dir = _work_dir(one, info, volume, work_root)
    config = transfer_info.to_config(
        info, schemas[0], volume=volume, work_dir=work_dir, takeover=takeover
    )
    said = {remark.text.partition(":")[0] for remark in one.remarks if remark.person}
    faults = _faults(copy.deepcopy(config), schemas[1])
    if not (config["transfer"].get("dat_root") or config.get("takeover", {}).get("align_h5")):
        faults.append(Remark("config: transfer.dat_root: missing, no raw_dat is named"))
    # what the JSON lacks was said in its own words already
    one.remarks += [fault for fault in faults if not (said and ": missing" in fault.text)]
    one.text = _yaml_text(one, config)


def _volume(one: Conversion, info: Mapping[str, Any]) -> str:
    """Name of the volume: the middle of the transfer id, else that of the file."""
    name = _name(one.source)
    parts = info["transfer_id"].split("::")
    if len(parts) != 3 or not parts[1]:
        text = f"transfer_id: expected <group>::<volume>::<host>, found {info['transfer_id']!r}"
        one.remarks.append(
            Remark(f"{text}; the volume is named {name} after the file", person=False)
        )
        return name
    if parts[1] != name:
        text = f"transfer_id names the volume {parts[1]}, the file {name}; the first is taken"
        one.remarks.append(Remark(text, person=False))
    return str(parts[1])


def _work_dir(
    one: Conversion, info: Mapping[str, Any], volume: str, work_root: str | None
) -> str | None:
    if work_root is not None:
        return str(PurePosixPath(work_root) / volume)
    align = (info["cluster_root_paths"] or {}).get("align_h5")
    if not align:
        one.remarks.append(Remark("work_dir: not known without align_h5; give --work-root"))
        return None
    folder = str(PurePosixPath(align).parent)
    text = f"work_dir: {folder}, where align_h5 lies; another with --work-root"
    one.remarks.append(Remark(text, person=False))
    return folder


def _yaml_text(one: Conversion, config: Mapping[str, Any]) -> str:
    open_lines = [f"# DECIDE: {remark.text}" for remark in one.remarks if remark.person]
    notes = [f"# note: {remark.text}" for remark in one.remarks if not remark.person]
    head = [f"# Converted from {one.source.name}.", *open_lines, *notes]
    body = yaml.safe_dump(dict(config), sort_keys=False, width=110, allow_unicode=True)
    kept = "\n# What no other key holds; nothing reads it but the way back to the JSON.\n"
    body = body.replace(f"\n{transfer_info.KEY}:", f"{kept}{transfer_info.KEY}:", 1)
    return "\n".join(line.replace("\n", " ") for line in head) + "\n" + body


def _refuse_same_target(done: Sequence[Conversion]) -> None:
    targets = [one.target for one in done]
    for one in done:
        if targets.count(one.target) > 1:
            one.remarks.append(Remark(f"another of the files would write {one.target.name} too"))


def reverse(paths: Sequence[Path], out: Path) -> list[Conversion]:
    """Convert YAML files to the text of JSON files; nothing is written.

    Parameters
    ----------
    paths
        YAML files.
    out
        Folder of the JSON files.

    Returns
    -------
    list of Conversion
        One for each file, in order.
    """
    schemas = _schema("volume_transfer_info.schema.yaml"), _schema("schema.yaml")
    return [_to_json(path, out, schemas) for path in paths]


def _to_json(path: Path, out: Path, schemas: tuple[dict[str, Any], dict[str, Any]]) -> Conversion:
    one = Conversion(path, out / f"volume_transfer_info.{path.stem}.json")
    try:
        config = yaml_files.read(path)
    except UserError as error:
        one.remarks.append(Remark(f"not readable as YAML: {error}"))
        return one
    if not isinstance(config, dict):
        one.remarks.append(Remark("expected the keys of a volume"))
        return one
    one.remarks += _faults(copy.deepcopy(config), schemas[1])
    if one.remarks:
        return one
    info = transfer_info.from_config(config)
    lost = transfer_info.not_in_json(config, schemas[0])
    one.remarks += [Remark(f"not in the JSON: {text}", person=False) for text in lost]
    one.remarks += _faults(info, schemas[0])
    one.info, one.text = info, json.dumps(info, indent=2) + "\n"
    return one


def _save(one: Conversion, *, draft: bool, replace: bool) -> str:
    """Write the result where that is right; say in one line what was done."""
    if not one.text or (one.needs_person and not draft):
        return f"{one.source}: not converted, a person has to decide"
    target = one.target
    if one.needs_person:
        target = target.with_suffix(f".draft{target.suffix}")
    if target.exists() and target.read_text() != one.text and not replace:
        one.remarks.append(Remark(f"{target} exists and differs; --replace writes it anew"))
        return f"{one.source}: not converted"
    files.write_text(target, one.text)
    return f"{one.source} -> {target}"


def main(argv: Sequence[str] | None = None, *, now: datetime | None = None) -> int:
    """Run the command; give its exit status: 1 when something needs a person."""
    args = _arguments(argv)
    if args.reverse:
        done = reverse(args.files, args.out)
    else:
        moment = now or datetime.now()
        roots = {"work_root": args.work_root, "takeover": args.takeover}
        done = convert(args.files, args.out, now=moment, **roots)
    for one in done:
        print(_save(one, draft=args.draft, replace=args.replace))
        for remark in sorted(one.remarks, key=lambda remark: not remark.person):
            print(f"  {'decide' if remark.person else 'note'}: {remark.text}")
    waiting = sum(one.needs_person for one in done)
    print(f"{len(done)} file(s), {waiting} of them need a person")
    return 1 if waiting else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.transfer.volume_transfer_info",
        description=(__doc__ or "").split("\n")[0],
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE")
    add("--out", type=Path, required=True, help="folder for the new files")
    add("--reverse", action="store_true", help="from YAML to JSON")
    add("--work-root", help="folder of the working directories (default: where align_h5 lies)")
    add("--takeover", action="store_true", help="go on from the HDF5 files that the JSON names")
    add("--draft", action="store_true", help="also write files that need a person, as drafts")
    add("--replace", action="store_true", help="replace files that are there and differ")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
