"""Turn the form of a tracking issue into the YAML of a volume, with the storage it will take.

``python -m scripts.form FORM --name NAME`` reads the first comment of the issue (text, or JSON) and
writes config/volumes/NAME.yaml. What is missing or cannot be is listed at once; such a form is
written with ``--draft`` only, and the exit status is 1. ``--ask-scope`` looks for the flag and the
size of the first file on the microscope.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from scripts.lib import commands, files, flow, schema, yaml_files
from scripts.lib.job import UserError
from scripts.lib.names import dat_or_none
from scripts.transfer import flags, issue_form, scope, space
from scripts.transfer.issue_form import HEADINGS, Answers
from scripts.transfer.scope import ScopeError, ScopeSettings
from scripts.transfer.transfer_info_checks import Remark

_ROOT = Path(__file__).resolve().parents[2]
_PAIR = ("first_dat", "data_set_id")


@dataclass(frozen=True)
class Drafted:
    """The config of a form, what is to be said of it, and the lines about storage."""

    config: Mapping[str, Any]
    remarks: Sequence[Remark]
    storage: Sequence[str]


def draft(form: str, args: argparse.Namespace) -> Drafted:
    """Read a form and look at the disks, and at the scope where it is asked for.

    Parameters
    ----------
    form
        Text of the form.
    args
        Arguments of the command.

    Returns
    -------
    Drafted
        Nothing is written.
    """
    commands.remember(["--profile", "profiles/local", "--configfile", str(_target(args))])
    read = issue_form.read(form)
    work_dir = str(PurePosixPath(args.work_root) / args.name)
    config = issue_form.config(read.answers, args.name, work_dir, args.archive_root)
    whole, faults = _filled(config)
    size, remarks = _first_file(read.answers, whole, args)
    said = [*read.remarks, *remarks]
    # what the form lacks was said in its own words already
    said += [] if any(remark.person for remark in said) else faults
    return Drafted(config, [*said, *_notes(read.answers)], _storage(read.answers, whole, size))


def _filled(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[Remark]]:
    """Return the config with its defaults, and what the schema says of it."""
    whole = copy.deepcopy(dict(config))
    rules = yaml_files.read(_ROOT / "config/schema.yaml")
    try:
        schema.validate(whole, rules)
    except UserError as error:
        return whole, [Remark(line.strip()) for line in str(error).splitlines()[1:]]
    return whole, []


def _notes(answers: Answers) -> list[Remark]:
    notes = []
    if "compute_group" in answers:
        pays = issue_form.payer_of(answers)
        words = f"{answers['compute_group']} pays: "
        words += "cluster.billing_project" if pays else "set cluster.billing_project to its name"
        notes.append(Remark(f"{HEADINGS['compute_group']}: {words}", person=False))
    if "last_dat" not in answers:
        words = "no answer: imaging goes on; set acquisition.last_dat when it has ended"
        notes.append(Remark(f"{HEADINGS['last_dat']}: {words}", person=False))
    if answers.get("preview", "").lower().startswith("y"):
        words = "preview: while imaging goes on, from a timer (cron)"
        notes.append(Remark(f"{words}: {commands.run('preview')}", person=False))
    words = "ingest.scan_correction and mask: chosen by the headers once files are here"
    return [*notes, Remark(f"{words}: python -m scripts.new DAT_ROOT", person=False)]


def _first_file(
    answers: Answers, whole: Mapping[str, Any], args: argparse.Namespace
) -> tuple[float | None, list[Remark]]:
    """Return the bytes of a file, as given, as it lies here, or as the scope tells."""
    if args.dat_mb:
        return 1e6 * args.dat_mb, []
    name = answers.get("first_dat")
    folder = Path(flow.resolved(_ROOT, whole["transfer"]["dat_root"]) or "")
    here = next(folder.rglob(name), None) if name and folder.is_dir() else None
    if here is not None:
        return here.stat().st_size, []
    if not args.ask_scope or not all(key in answers for key in _PAIR):
        return None, []
    try:
        return _on_scope(answers, ScopeSettings.of(whole["transfer"]["scope"]))
    except (ScopeError, OSError, KeyError, UserError) as error:
        return None, [Remark(f"scope: cannot be asked: {error}")]


def _on_scope(answers: Answers, settings: ScopeSettings) -> tuple[float | None, list[Remark]]:
    """Look for the flag of the first file, and its size."""
    there = scope.open_scope(settings)
    found, _ = flags.choose(there.flag_names(), answers["data_set_id"])
    wanted = dat_or_none(answers["first_dat"])
    flag = next((each for each in found if each.tile == wanted), None)
    if flag is None:
        words = f"{len(found)} flags of data set {answers['data_set_id']}, none of"
        return None, [Remark(f"scope: {words} {answers['first_dat']}")]
    path = flag.path_below(settings.root_dat_path)
    return there.sizes([path]).get(path), []


def _storage(answers: Answers, whole: Mapping[str, Any], size: float | None) -> list[str]:
    """Say what the volume takes beside what is free."""
    free = space.free_bytes(Path(flow.resolved(_ROOT, whole["work_dir"]) or ""))
    left = f"{free / space.GB:,.1f} GB are free at {whole['work_dir']}"
    if size is None or "dats" not in answers:
        lacks = HEADINGS["dats"] if "dats" not in answers else "the size of a file (--dat-mb)"
        return [f"not known without {lacks}; {left}"]
    total = size * answers["dats"]
    lines = [
        f"{answers['dats']:,} files of {size / 1e6:,.1f} MB: {total / space.GB:,.1f} GB of .dat"
    ]
    if "correct" not in whole:
        return [*lines, left]
    need = space.need(whole, int(total))
    short = need.most_bytes + total > free
    return [*lines, need.text(), f"{left}{': too little' if short else ''}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit status: 1 when something needs a person.

    Parameters
    ----------
    argv
        Arguments; default: those of the process.

    Returns
    -------
    int
        0 or 1.
    """
    args = _arguments(argv)
    form = sys.stdin.read() if str(args.form) == "-" else args.form.read_text(encoding="utf-8")
    made = draft(form, args)
    waits = any(remark.person for remark in made.remarks)
    for remark in sorted(made.remarks, key=lambda remark: not remark.person):
        print(f"  {'decide' if remark.person else 'note'}: {remark.text}")
    for line in made.storage:
        print(f"  storage: {line}")
    target = _target(args, ".draft" if waits else "")
    if waits and not args.draft:
        print("nothing is written: mend the form, or add --draft")
    elif target.exists():
        print(f"{target} is there and is not replaced; give another --name, or move it")
        return 1
    else:
        files.write_text(target, _text(made))
        commands.remember(["--profile", "profiles/local", "--configfile", str(target)])
        print(f"{target}\nnext: {commands.run('doctor')}")
    return int(waits)


def _target(args: argparse.Namespace, kind: str = "") -> Path:
    """Return the file that is written; its notes name it as it is called once all is decided."""
    out: Path = args.out
    return out / f"{args.name}{kind}.yaml"


def _text(made: Drafted) -> str:
    said = [f"# {'DECIDE' if one.person else 'note'}: {one.text}" for one in made.remarks]
    body = yaml.safe_dump(dict(made.config), sort_keys=False, width=110, allow_unicode=True)
    return "\n".join(["# Written from an issue form.", *said, body])


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.form", description=(__doc__ or "").split("\n")[0]
    )
    add = parser.add_argument
    add("form", type=Path, metavar="FORM", help="text or JSON of the form; - reads it from stdin")
    add("--name", required=True, help="name of the volume")
    add("--work-root", default="work", help="folder of the working directories")
    add("--archive-root", help="folder of the archive of raw files")
    add("--dat-mb", type=float, metavar="MB", help="size of a .dat file")
    add("--ask-scope", action="store_true", help="look for flag and size of the first file there")
    add("--out", type=Path, default=Path("config/volumes"), help="folder of the YAML")
    add("--draft", action="store_true", help="write a form that needs a person, too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
