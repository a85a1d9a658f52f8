"""Mixtures of troubles that were tried once, on seeds that no choice was made with.

    python -m tests.accuracy.mixtures [--data FOLDER] [--name NAME ...]

Each line of `mixtures.yaml` is an acquisition, the whole workflow on it, and its score, as a row of
`run`. Any place may be named, so that findings are not judged: what counts is whether a step that
is wrong is named at its place. ``build/accuracy/mixtures.json`` holds the rows, each from the
moment it is done; the table of ``docs/accuracy.md`` is written from it.
"""

import argparse
import re
from pathlib import Path

import yaml

from scripts.lib import files
from tests.accuracy import judging, page, peers, run

TABLE = Path(__file__).with_suffix(".yaml")
BEGIN, END = "<!-- mixtures: written by `make mixtures` -->", "<!-- end of mixtures -->"
CODE = re.compile(r"`[0-9a-f]{7,}`")
HEAD = (
    "", "acquisition", "troubles", "relative, px", "as acquired", "absolute, px", "seams, px",
    "z, layers", "tiles lost", "verdict", "steps not named", "pystackreg", "the report says first",
)  # fmt: skip


def options(doc, table, argv):
    """Options of a command that runs rows of a table."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", type=Path, default=run.ROOT / "../shared/data", help="volumes")
    parser.add_argument("--out", type=Path, default=run.OUT, help="acquisitions, runs and rows")
    parser.add_argument("--name", nargs="*", choices=list(table), default=list(table))
    return parser.parse_args(argv)


def main(argv=None):
    """Command line."""
    table = yaml.safe_load(TABLE.read_text())
    args = options(__doc__, table, argv)
    kept = args.out / "mixtures.json"
    for name in args.name:
        if name not in rows_in(kept):
            row = measured(table[name], args.data, args.out / name)
            files.write_json(kept, rows_in(kept) | {name: row})
            print(" | ".join(cells(name, table[name], row)), flush=True)
    write(run.ROOT / "docs/accuracy.md", table, rows_in(kept))


def rows_in(path):
    return files.read_json(path) if path.exists() else {}


def measured(entry, data, folder):
    """Run one mixture from the acquisition to the figures, as a row of `run`."""
    rows, columns = entry["grid"]
    options = ["--tile", entry["tile"], entry["tile"], *entry.get("options", ())]
    for more in entry["stress"][1:]:
        options += ["--stress", more]
    row_entry = {"layout": "own", "may": ["all"], "options": options} | {
        key: entry[key] for key in ("on_stop", "config") if key in entry
    }
    if entry["stress"]:
        row_entry["stress"] = entry["stress"][0]
    volumes = yaml.safe_load(run.TABLE.read_text())["volumes"]
    table = {
        "layouts": {"own": {"rows": rows, "columns": columns, "options": []}},
        "volumes": {entry["volume"]: volumes[entry["volume"]] | {"layers": entry["layers"]}},
    }
    where = {"data": data, "folder": folder}
    clean = run.CLEAN if entry.get("clean") else ()
    truth = run.acquired(table, row_entry, entry["volume"], entry["seed"], clean=clean, **where)
    ended = folder / "ended.json"
    if not ended.exists():
        done = run.finished(folder, row_entry, run.config_of(table, row_entry, folder))
        files.write_json(ended, done)
    how = files.read_json(ended)
    message = how["stopped"] or how["failed"]
    found = how | judging.row(folder / "work", truth, row_entry, stopped=message)
    if entry["grid"] == [1, 1]:
        found["pystackreg"] = peers.stackreg(folder / "work", truth)
    return found


def cells(name, entry, row):
    """Give the cells of a row of the table."""
    z, nominal = row.get("z"), (row.get("nominal") or {}).get("z")
    rows, columns = entry["grid"]
    size = f"{entry['volume']}, {entry['layers']} layers of {rows} × {columns} × {entry['tile']}²"
    peer = row.get("pystackreg")
    return [
        name,
        f"{size}, seed {entry['seed']}",
        page.plain(" ".join(troubles_of(entry))),
        page.pair(row, "relative"),
        page.pair(row.get("nominal") or {}, "relative"),
        page.pair(row, "absolute"),
        page.pair(row, "seams"),
        f"{z['rms_layers']:.2f} ({nominal['rms_layers']:.2f})" if z and nominal else "-",
        str(row.get("tiles_missing", "-")),
        ("**silent** " if row["silent"] else "") + str(row["verdict"]),
        str(len(row["unnamed"])),
        page.pair(peer, "relative") if peer else "-",
        page.plain(row["findings"][0]) if row["findings"] else "",
    ]


def troubles_of(entry):
    """Give the words of an acquisition: troubles, options, and whether it has no other defects."""
    alone = ["no other defects"] if entry.get("clean") else []
    return [*entry["stress"], *map(str, entry.get("options", ())), *alone]


def write(path, table, rows):
    """Put the table between its marks of the page; lines of what did not run here stay."""
    before, rest = path.read_text().split(BEGIN)
    old, after = rest.split(END)
    shown = {line.split(" | ")[0].strip("| "): line for line in old.splitlines()}
    shown |= {
        name: "| " + " | ".join(cells(name, table[name], row)) + " |" for name, row in rows.items()
    }
    lines = [shown[name] for name in table if name in shown]
    known = {f"`{row['code']}`" for row in rows.values()}
    codes = ", ".join(sorted({*CODE.findall(old.partition("|")[0]), *known}))
    head = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    text = "\n".join([f"{len(lines)} of {len(table)} have run (code {codes}).", "", *head, *lines])
    files.write_text(path, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
