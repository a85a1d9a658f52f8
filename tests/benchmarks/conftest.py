"""Benchmarks: plain, fast tests unless `make bench` asks for figures.

A module `test_bench_<name>` of this folder fills one table, `build/bench/<name>.json`: a list of
{"name", "value", "unit", "better", "beside"}, all of one run. Seconds are CPU seconds of this
process with all its threads, the least of some repeats, since the machine may be shared.
"""

import json
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5


class Bench:
    """Measures when asked to, and collects the rows of one module's table."""

    def __init__(self, *, measuring):
        self.measuring = measuring
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


@pytest.fixture(scope="module")
def bench(request):
    measuring = not request.config.getoption("benchmark_disable") or request.config.getoption(
        "benchmark_enable"
    )
    table = Bench(measuring=measuring)
    yield table
    if measuring:
        path = ROOT / "build/bench" / f"{request.module.__name__.rpartition('_')[2]}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table.rows, indent=1) + "\n")
