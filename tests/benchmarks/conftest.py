"""Benchmarks: plain, fast tests unless `make bench` asks for figures.

A module `test_bench_<name>` of this folder fills one table, `build/bench/<name>.json`: a list of
{"name", "value", "unit", "better", "beside"}, all of one run. Seconds are CPU seconds of this
process with all its threads, the least of some repeats, since the machine may be shared.
"""

import ast
import hashlib
import json
import time
from pathlib import Path

import pytest

from scripts.lib import provenance

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5


class Bench:
    """Measures when asked to, and collects the rows of one module's table."""

    def __init__(self, *, measuring, say=print):
        self.measuring = measuring
        self.say = say
        self.rows = []

    def cpu_s(self, work, *, repeats=REPEATS):
        """CPU seconds of one call of `work`; one call alone when not measuring."""
        seconds = []
        for _ in range(repeats if self.measuring else 1):
            start = time.process_time()
            work()
            seconds.append(time.process_time() - start)
        return max(min(seconds), 1e-9)

    def row(self, name, value, unit, *, better, **beside):
        """Add a figure, and the figures of others at the same task beside it."""
        assert better in ("lower", "higher")
        row = {"name": name, "value": value, "unit": unit, "better": better, "beside": beside}
        self.rows.append(row)

    def each(self, name, keys, work, code):
        """Do `work` for each key, which gives what JSON holds; yields the results in order.

        When measuring, each is kept in `build/bench/<name>.jsonl` as soon as it is there, and
        taken from it when `code` is the same again: what was stopped goes on where it was.
        """
        if not self.measuring:
            yield from (work(key) for key in keys)
            return
        path, start = ROOT / f"build/bench/{name}.jsonl", time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = kept_results(path, code)
        for i, key in enumerate(keys, 1):
            if str(key) not in kept:
                kept[str(key)] = work(key)
                with path.open("a") as stream:
                    stream.write(json.dumps([code, str(key), kept[str(key)]]) + "\n")
                self.say(f"{name}: {i} of {len(keys)}, {time.monotonic() - start:.0f} s")
            yield kept[str(key)]


def kept_results(path, code):
    """Results by key that a file has of this code; others, and a torn last line, leave it."""
    lines = path.read_text().splitlines() if path.is_file() else []
    found = {}
    for line in lines:
        try:
            made_by, key, result = json.loads(line)
        except ValueError:
            continue  # torn by a kill
        if made_by == code:
            found[key] = result
    path.write_text("".join(json.dumps([code, *item]) + "\n" for item in found.items()))
    return found


def code_of(*paths):
    """A digest of files of the tests, what they import of the project, and the schema."""
    trees = [ast.parse((ROOT / path).read_text()) for path in paths]
    names = {each for tree in trees for each in provenance.imports(tree)}
    modules = (each for each in names if (ROOT / f"{each.replace('.', '/')}.py").is_file())
    entries = tuple(sorted(each for each in modules if each.startswith("scripts.")))
    made = provenance.made_through(provenance.Code("measured", entries))
    schema = (ROOT / "config/schema.yaml").read_text()
    parts = [made.digest, *map(provenance.meaning, trees), schema]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def bench(request):
    measuring = not request.config.getoption("benchmark_disable") or request.config.getoption(
        "benchmark_enable"
    )
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")

    def say(line):
        terminal.write_line(line)
        terminal.flush()

    table = Bench(measuring=measuring, say=say if terminal else print)
    yield table
    if measuring:
        path = ROOT / "build/bench" / f"{request.module.__name__.rpartition('_')[2]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table.rows, indent=1) + "\n")
