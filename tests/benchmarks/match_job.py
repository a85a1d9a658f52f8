"""The match jobs of one chunk as the workflow runs them; imports no more than they do.

As a program in a working directory it prints CPU seconds of each rule, and the peak of its resident
memory (MB).
"""

import json
import re
import time
from pathlib import Path

from scripts.match import derive_pairs, match_pairs, stage_files
from scripts.review import survey_tiles

ROOT = Path(__file__).resolve().parents[2]
RENDER = {"owner": "o", "project": "p"}
RUNS = ("montage", "cross")
TABLES = [stage_files.read_table(ROOT / "config/match_stages/block.yaml")]
STACK = {"stack": "stacks/s.json", "render": RENDER, "stage_tables": TABLES}


def spent(work, **arguments):
    """CPU seconds of a job."""
    start = time.process_time()
    work(**arguments)
    return time.process_time() - start


def survey():
    """Look at every tile of a stack of many layers, where each has neighbors on both sides."""
    survey_tiles.main(
        acquire="stacks/long.json",
        chunks="ingest/long.tsv",
        chunk="0000",
        out="review/survey/0000.tsv.gz",
        render=RENDER,
    )


def match(run):
    """Plan and match the pairs of a run."""
    pairs = f"match/pairs/{run}/0000.tsv.gz"
    where = {"run": run, "chunk": "0000", "chunks": "ingest/chunks.tsv"}
    derive_pairs.main(**STACK, **where, out=pairs, z_distance=6)
    match_pairs.main(
        **STACK,
        pairs=pairs,
        run=run,
        collection="m",
        feature_cache_mb=1000,
        out=f"match/results/{run}/0000.tsv.gz",
        timing=f"match/timing/{run}/0000.tsv.gz",
    )


if __name__ == "__main__":
    seconds = {"survey": spent(survey)} | {run: spent(match, run=run) for run in RUNS}
    # getrusage would count the memory of the program that started this one
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps({"cpu_s": seconds, "peak_mb": int(peak) * 1024 / 1e6}))  # noqa: T201
