"""Test the tests: change one place of a module at a time, and see whether a test fails.

`cosmic-ray` makes the mutants, in a copy of the working tree. Mutants of type annotations are left
out, since nothing evaluates those, and those of stars that multiply nothing (``*, key``). What
survives and is not explained in ``equivalent.tsv`` is printed; all survivors are in
``build/mutants/<module>.tsv``.
"""

import argparse
import ast
import csv
import io
import json
import keyword
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tokenize
import tomllib
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkResult

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "build/mutants"
COLUMNS = ("module", "operator", "line", "mutated", "reason")
WHERE = ("where", *COLUMNS)


def table(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def copied(folder):
    """Copy the files that git knows, and new ones, as they are now."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return folder


def annotations(source):
    """Give the (line, column) spans of all type annotations of a module."""
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            found = getattr(node, name, None)
            if found is not None:
                yield (found.lineno, found.col_offset), (found.end_lineno, found.end_col_offset)


def stars(source):
    """Give the (line, column) of each star that is no operator: of a signature, of unpacking."""
    before = None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT):
            continue
        operand = before is not None and (
            before.string in (")", "]", "}")
            or before.type in (tokenize.NUMBER, tokenize.STRING)
            or (before.type == tokenize.NAME and not keyword.iskeyword(before.string))
        )
        if token.string in ("*", "**") and not operand:
            yield token.start
        before = token


def chosen(items, source, *, sample, seed):
    """Give the mutants to try, no more than `sample`: none of an annotation or a mere star."""
    spans, marks = list(annotations(source)), set(stars(source))
    usable = [
        item
        for item in sorted(items, key=lambda i: (i.mutations[0].start_pos, _name(i)))
        if tuple(item.mutations[0].start_pos) not in marks
        and not any(a <= tuple(item.mutations[0].start_pos) < b for a, b in spans)
    ]
    if not sample or sample >= len(usable):
        return usable, len(usable)
    return random.Random(seed).sample(usable, sample), len(usable)


def _name(item):
    return item.mutations[0].operator_name, item.mutations[0].occurrence


def cosmic_ray(*argv, cwd):
    """Run a command of cosmic-ray; when it fails, end with what it said."""
    command = [sys.executable, "-m", "cosmic_ray.cli", *map(str, argv)]
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}")


def tests_of(entry, cwd):
    """Give the test command, and how long it takes on the module as it is."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", *entry["tests"]]
    start = time.monotonic()
    subprocess.run(command, cwd=cwd, check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    return shlex.join(command), time.monotonic() - start


def difference(diff):
    """Give the lines that a mutant took away and put in."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    return tuple(
        " ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+"
    )


def tried(key, entry, cwd, *, sample, seed):
    """Run the mutants of one module: how many there are, how many were tried, the survivors."""
    command, took = tests_of(entry, cwd)
    config, session = cwd / f"{key}.toml", cwd / f"{key}.sqlite"
    config.write_text(
        f'[cosmic-ray]\nmodule-path = "{entry["module"]}"\ntimeout = {30 + 5 * took:.0f}\n'
        f"excluded-modules = []\ntest-command = {json.dumps(command)}\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    cosmic_ray("init", config, session, cwd=cwd)
    with use_db(session, mode=WorkDB.Mode.open) as work:
        items = list(work.work_items)
        take, total = chosen(items, (cwd / entry["module"]).read_text(), sample=sample, seed=seed)
        wanted = {item.job_id for item in take}
        left_out = WorkResult(worker_outcome=WorkerOutcome.SKIPPED, output="left out")
        for item in items:
            if item.job_id not in wanted:
                work.set_result(item.job_id, left_out)
    cosmic_ray("exec", config, session, cwd=cwd)
    return total, len(take), list(survivors(session, entry["module"], wanted))


def survivors(session, module, wanted):
    """Give those of the `wanted` mutants that no test killed, as rows of `WHERE`.

    Mutants that have no result (their worker was killed or stopped) are counted aloud: they are
    neither killed nor survivors.
    """
    with use_db(session, mode=WorkDB.Mode.open) as work:
        found = [(item, result) for item, result in work.completed_work_items]
    tested = {item.job_id for item, result in found if result.test_outcome is not None}
    if lost := len(set(wanted) - tested):
        print(f"  {module}: {lost} mutants that could not be tried", flush=True)
    for item, result in found:
        if result.test_outcome == TestOutcome.SURVIVED:
            mutation = item.mutations[0]
            before, after = difference(result.diff)
            where = f"{module}:{mutation.start_pos[0]}"
            values = (where, module, mutation.operator_name, before, after, "")
            yield dict(zip(WHERE, values, strict=True))


def explained(survivor, known):
    """Give the reason why a survivor changes nothing that a test could see, or an empty text."""
    same = [
        row for row in known if all(row[n] == survivor[n] for n in ("module", "line", "mutated"))
    ]
    return same[0]["reason"] if same else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names in modules.toml; none: all")
    parser.add_argument("--sample", type=int, default=0, help="mutants a module; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    entries = tomllib.loads((HERE / "modules.toml").read_text())
    known = table(HERE / "equivalent.tsv")
    OUT.mkdir(parents=True, exist_ok=True)
    open_share = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        cwd = copied(Path(folder))
        for key in args.only or entries:
            total, count, found = tried(key, entries[key], cwd, sample=args.sample, seed=args.seed)
            for one in found:
                one["reason"] = explained(one, known)
            with (OUT / f"{key}.tsv").open("w") as stream:
                lines = [WHERE, *(tuple(one.values()) for one in found)]
                stream.writelines("\t".join(line) + "\n" for line in lines)
            bare = [one for one in found if not one["reason"]]
            open_share.append((count, len(bare)))
            print(
                f"{key}: {count} of {total} mutants, {count - len(found)} killed,"
                f" {len(found) - len(bare)} explained, {len(bare)} not explained", flush=True,
            )  # fmt: skip
            for one in bare:
                print(f"  {one['where']} {one['operator']}")
                print(f"    - {one['line']}\n    + {one['mutated']}")
    count, bare = (sum(column) for column in zip(*open_share, strict=True))
    print(f"all: {count} mutants, {bare} not explained ({bare / max(count, 1):.0%})")


if __name__ == "__main__":
    main()
