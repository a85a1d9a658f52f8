"""Measure the workflow where the truth is known: one row for each stress, volume and seed.

    python -m tests.accuracy.run [--stress NAME ...] [--volume NAME ...] [--seed N ...]

A row is an acquisition of `stresses.yaml`, the whole workflow on it, its errors against the truth,
and what its report named, missed and named wrongly. ``build/accuracy/accuracy.json`` holds the
rows, each from the moment it is done: a row that is there is not run again, and a run that was
killed goes on where it was. The tables of ``docs/accuracy.md`` are written from it.
"""

import argparse
import itertools
import re
import subprocess
import sys
import time
from pathlib import Path

import yaml

from scripts.lib import files
from tests.accuracy import judging, page, peers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "build/accuracy"
TABLE = HERE / "stresses.yaml"
SEEDS = (1, 2, 3)
# the stress alone: what else the generator spoils would hide what the report says of it
CLEAN = ("--corrupt", 0, "--resin-fraction", 0, "--lost-slice-rate", 0)
LIMIT_S = 3600


def main(argv=None):
    """Command line."""
    table = yaml.safe_load(TABLE.read_text())
    args = arguments(table).parse_args(argv)
    lacking = [name for name in ("stress.py", *files_of(table)) if not (args.data / name).exists()]
    if lacking:
        sys.exit(
            f"make accuracy: {args.data} has no {', '.join(lacking)}; give the folder of the real"
            " volumes and generators, DATA=FOLDER (see the head of docs/accuracy.md)"
        )
    if not args.page:
        for seed, volume, name in itertools.product(args.seed, args.volume, args.stress):
            if args.again and (args.out / f"{name}-{volume}-{seed}/ended.json").exists():
                drop(args.out, name, volume, seed)
            if find(rows_in(args.out), name, volume, seed) is None:
                keep(args.out, measured(table, name, volume, seed, data=args.data, out=args.out))
    page.write(ROOT / "docs/accuracy.md", rows_in(args.out), table)


def arguments(table):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stresses, volumes = list(table["stresses"]), list(table["volumes"])
    parser.add_argument("--data", type=Path, default=ROOT / "../shared/data", help="volumes")
    parser.add_argument("--out", type=Path, default=OUT, help="acquisitions, runs and rows")
    parser.add_argument("--stress", nargs="*", choices=stresses, default=stresses)
    parser.add_argument("--volume", nargs="*", choices=volumes, default=volumes)
    parser.add_argument("--seed", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--again", action="store_true", help="judge anew what has run")
    parser.add_argument("--page", action="store_true", help="only write the page, from the rows")
    return parser


def files_of(table):
    return [volume["file"] for volume in table["volumes"].values()]


# ---- rows ------------------------------------------------------------------------------------


def rows_in(out):
    path = out / "accuracy.json"
    return files.read_json(path) if path.exists() else []


def find(rows, name, volume, seed):
    """Give the row of a run, or None."""
    wanted = (name, volume, seed)
    return next((r for r in rows if (r["stress"], r["volume"], r["seed"]) == wanted), None)


def drop(out, *key):
    rows = [r for r in rows_in(out) if (r["stress"], r["volume"], r["seed"]) != key]
    files.write_json(out / "accuracy.json", rows)


def keep(out, row):
    """Add a row to those that are there, in the order of seed, volume and stress as they ran."""
    files.write_json(out / "accuracy.json", [*rows_in(out), row])
    print(page.line(row), flush=True)


def measured(table, name, volume, seed, *, data, out):
    """Run one row from the acquisition to the figures."""
    entry, folder = table["stresses"][name], out / f"{name}-{volume}-{seed}"
    truth = acquired(table, entry, volume, seed, data=data, folder=folder)
    ended = folder / "ended.json"
    if not ended.exists():
        files.write_json(ended, finished(folder, entry, config_of(table, entry, folder)))
    how = files.read_json(ended)
    found = {"stress": name, "volume": volume, "seed": seed, "layout": entry["layout"]} | how
    message = how["stopped"] or how["failed"]
    found |= judging.row(folder / "work", truth, entry, stopped=message)
    if entry["layout"] == "single":
        found["pystackreg"] = peers.stackreg(folder / "work", truth)
    return found


def finished(folder, entry, config):
    """Run the workflow to its end, with the answer where it stops for one; tell how it ended."""
    start, stopped = time.monotonic(), None
    code, text = workflow(folder, config)
    if code and "on_stop" in entry:
        stopped = last_message(text)
        code, text = workflow(folder, merged(config, ANSWERS[entry["on_stop"]](text)))
    failed = last_message(text) if code else None
    seconds = round(time.monotonic() - start)
    return {"stopped": stopped, "failed": failed, "code": revision(), "wall_s": seconds}


def revision():
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


# ---- one run ---------------------------------------------------------------------------------


def acquired(table, entry, volume, seed, *, data, folder, clean=CLEAN):
    """Make the acquisition of a row if it is not there; give its truth."""
    path = folder / "acquisition/truth.json"
    if not path.exists():
        layout, source = table["layouts"][entry["layout"]], table["volumes"][volume]
        words = ["--stress", entry["stress"]] if "stress" in entry else []
        words += ["--layers", source["layers"], "--grid", layout["rows"], layout["columns"]]
        words += [*layout["options"], *clean, *entry.get("options", ()), "--seed", seed]
        command = [sys.executable, data / "stress.py", data / source["file"], path.parent, *words]
        subprocess.run(list(map(str, [*command, "--workers", 1])), check=True)
    return files.read_json(path)


def config_of(table, entry, folder):
    """Give the config of a row, as a person would write it for such an acquisition."""
    layout, folder = table["layouts"][entry["layout"]], folder.resolve()
    config = {
        "volume": "accuracy",
        "work_dir": str(folder / "work"),
        "render": {"owner": "accuracy", "project": "accuracy"},
        "acquisition": {"rows": layout["rows"], "columns": layout["columns"]}
        | {"pixel_nm": 8, "z_nm": 8},
        "transfer": {"dat_root": str(folder / "acquisition/dat")},
        "ingest": {"scan_correction": {"data": "3 12 2 60 0"}},  # the generator's own
        "review": {"auto": True},
        "report": {"truth": str(folder / "acquisition/truth.json")},
        "export": {"block_zyx_px": [32, 64, 64]},
    }
    return merged(config, entry.get("config", {}))


def merged(config, more):
    """Lay sections of a config over those that are there."""
    out = dict(config)
    for section, values in more.items():
        out[section] = out.get(section, {}) | values
    return out


def lines_as_told(text):
    """Give the first section of the config that a message offers, as a person would paste it."""
    block = re.search(r"^[a-z]+:\n(?: .*\n)+", last_message(text) + "\n", re.MULTILINE)
    return yaml.safe_load(block[0]) if block else {}


def at_a_price(text):
    """Give the settings that a closed gate offers as last resorts, in section review."""
    _, _, offered = last_message(text).partition("Only at a price")
    lines = re.findall(r"^  (\w+: [\d.]+)$", offered, re.MULTILINE)
    return {"review": yaml.safe_load("\n".join(lines)) or {}}


ANSWERS = {each.__name__: each for each in (lines_as_told, at_a_price)}


def workflow(folder, config, *targets):
    """Run the whole workflow or some targets; give its exit code and the text of its terminal."""
    path = folder / "volume.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "1"]
    command += ["--nolock"]  # a row that was killed leaves its lock
    with (folder / "terminal.txt").open("w") as terminal:
        done = subprocess.run(
            [*command, *targets, "--configfile", str(path)],
            cwd=ROOT, stdout=terminal, stderr=subprocess.STDOUT, timeout=LIMIT_S,
        )  # fmt: skip
    return done.returncode, (folder / "terminal.txt").read_text()


def last_message(text):
    """Give what the terminal said last, from the cross on; without the names of logs."""
    said = text[text.rfind("✗") :] if "✗" in text else text[-400:]
    return said.partition("\nlog: ")[0].strip()


if __name__ == "__main__":
    main()
