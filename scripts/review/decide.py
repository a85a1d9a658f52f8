"""Write what the closed gate asks for into the config of a volume.

Where the gate opens, it is what the page of the review proposes besides. Shows the change; with
``--write`` the file is changed, comments and all other lines stay. What has a price (limits that
are raised, a large part of the volume left out) is written by name alone.

usage: python -m scripts.review.decide CONFIG [--write] [--at-a-price KEY ...]
"""

from __future__ import annotations

import argparse
import difflib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib import flow, running, schema, yaml_files
from scripts.lib.files import write_text
from scripts.lib.job import UserError
from scripts.lib.sections import with_added
from scripts.review import gate
from scripts.review.evidence import Entries, Evidence, Limits
from scripts.review.remedies import lines, remedy

_UNWRITTEN = "nothing is written without --write"
ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "clusters": "review/clusters.json",
    "tiles": "review/tiles.tsv",
    "edges": "review/edges.tsv",
    "patches": "review/patches.tsv",
    "proposals": "review/proposals.yaml",
    "summary": "match/summary.tsv",
    "layers": "ingest/layers.tsv",
}


def decide(path: Path, prices: Sequence[str], *, write: bool) -> str:
    """Return the change of a config that the gate asks for, and make it.

    Parameters
    ----------
    path
        The config of the volume.
    prices
        Keys of section ``review`` that are to be written although they have a price.
    write
        Whether the file is changed.

    Returns
    -------
    str
        The change as a diff, and what to do next.

    Raises
    ------
    UserError
        When there is no review yet, a key is none that the gate offers, or the text of the config
        cannot be changed for sure.
    """
    text = yaml_files.text_of(path)
    config = yaml_files.parse(text, str(path))
    rules = yaml_files.read(ROOT / "config" / "schema.yaml")
    schema.validate(config, rules)
    found, limits = _evidence(config), Limits(**_of_limits(config["review"]))
    given = schema.given(config["review"], rules["properties"]["review"])
    checks = gate.checks(found, limits)
    offered = remedy(checks, found, limits, given)
    costly = {key: each[key] for each, _ in offered.costly for key in each}
    if unknown := sorted(set(prices) - costly.keys()):
        known = ", ".join(costly) or "nothing"
        raise UserError(f"--at-a-price {unknown[0]}: the gate offers {known} at a price")
    added = offered.mend | {key: costly[key] for key in prices}
    if not added and not any(check.status == "failed" for check in checks):
        added = {} if given.get("auto") else _new(found.proposed, given)  # auto has done them
        if not added:
            return "the gate asks for nothing, and nothing else is proposed\n"
    if not added:
        return lines(offered, given)
    new = with_added(text, "review", added, str(path))
    diff = difflib.unified_diff(
        text.splitlines(keepends=True), new.splitlines(keepends=True), str(path), "with decisions"
    )
    if write:
        write_text(path, new)
    last = f"written; now start:\n  {_command(config, path)}" if write else _UNWRITTEN
    return f"{''.join(diff)}\n{last}\n"


def _new(proposed: Entries, given: Mapping[str, Any]) -> Entries:
    """Return the proposals of the page that the config has not yet."""
    left = {
        key: [each for each in entries if each not in given.get(key, [])]
        for key, entries in proposed.items()
    }
    return {key: entries for key, entries in left.items() if entries}


def _command(config: Mapping[str, Any], path: Path) -> str:
    """Return how the last run of the volume was started, for all of it."""
    runs = running.read(Path(flow.resolved(ROOT, config["work_dir"]) or ""))
    news = [run.news for run in runs if run.news and run.news.command]
    if news:
        return max(news, key=lambda each: each.at).command
    return shlex.join(["snakemake", "--profile", "profiles/local", "--configfile", str(path)])


def _evidence(config: Mapping[str, Any]) -> Evidence:
    work = Path(flow.resolved(ROOT, config["work_dir"]) or "")
    collection = f"matches/{config['render']['project']}_v1.json"
    inputs = {name: work / path for name, path in (FILES | {"matches": collection}).items()}
    absent = [str(each) for each in inputs.values() if not each.exists()]
    if absent:
        raise UserError(f"{absent[0]}: not there yet; the review has to run before there are lines")
    return Evidence.read(inputs, config["match"]["preset"])


def _of_limits(section: Mapping[str, Any]) -> dict[str, Any]:
    return {name: section[name] for name in Limits.__dataclass_fields__}


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML of the volume")
    parser.add_argument("--write", action="store_true", help="change the file")
    parser.add_argument(
        "--at-a-price",
        nargs="+",
        default=[],
        metavar="KEY",
        help="keys to write although they have a price",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Show, or write, the lines; 1 when they cannot be had."""
    asked = _arguments(argv)
    try:
        sys.stdout.write(decide(asked.config, asked.at_a_price, write=asked.write))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
