"""Progress: how far a run has come, and what stopped it, from the files it has left."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.lib import gates

LOGS, BENCHMARKS = Path("logs"), Path("benchmarks")
OWN = ("report_so_far", "estimate_volume")  # rules whose own files are no news
MOST_STOPS = 5
_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ ([A-Z]+) [\w.]+: ", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.) (?=[A-Z])")
_TAIL_BYTES = 100_000  # of a log: its last record is all that counts
# stage -> what each chunk of it leaves; {run} is there once for each run of the matching
PARTS = {
    "match": "match/results/{run}/*.tsv.gz",
    "solve": "solve/moments/*.npz",
    "zcorr": "zcorr/correlations/*.npz",
    "export": "export/checked/*.json",
}


@dataclass(frozen=True)
class Stop:
    """A job that ended with an error, or several that ended with the same."""

    rule: str
    message: str
    log: str
    jobs: int = 1

    @property
    def headline(self) -> str:
        """Return the first sentence of the message, and whose it is.

        Returns
        -------
        str
            With the number of jobs where they are several.
        """
        first = first_sentence(self.message)
        return f"{gates.named(self.rule)}{f' ({self.jobs} jobs)' if self.jobs > 1 else ''}: {first}"

    @property
    def rest(self) -> str:
        """Return the message without its first sentence, which `headline` says.

        Returns
        -------
        str
            Without the line that it goes on in, where that holds no more than the sentence.
        """
        sentence, message = first_sentence(self.message), self.message.strip()
        lines = message.split("\n")
        if sentence == " ".join(line.strip() for line in lines[:2]):
            return "\n".join(lines[2:]).strip("\n")
        return message.removeprefix(sentence).strip(" \n")


def first_sentence(message: str) -> str:
    """Return the first sentence of a message; one that ends with a colon goes on in the next line.

    Parameters
    ----------
    message
        One or more lines.

    Returns
    -------
    str
        One line.
    """
    first, _, rest = message.strip().partition("\n")
    if first.endswith(":") and rest.startswith(" "):  # what it names stands below it, indented
        first = f"{first} {rest.partition(chr(10))[0].strip()}"
    return _SENTENCE_END.split(first, maxsplit=1)[0]


def stops(root: Path = Path(), since: float = 0.0) -> list[Stop]:
    """Return the jobs whose log ends with an error, the latest first.

    A job that is done again writes its log anew, so an error that stands there was the last word.

    Parameters
    ----------
    root
        Working directory of the volume.
    since
        Logs written before are those of earlier runs, s since 1970.

    Returns
    -------
    list of Stop
        At most `MOST_STOPS`; jobs of a rule with the same message are one.
    """
    logs = sorted(_files(root, LOGS), key=lambda path: (-path.stat().st_mtime_ns, str(path)))
    found: dict[tuple[str, str], Stop] = {}
    for path in logs:
        message = last_error(path) if path.stat().st_mtime >= since else ""
        if message:
            place = path.relative_to(root)
            key = place.parts[1], message
            before = found.get(key, Stop(*key, place.as_posix(), 0))
            found[key] = Stop(*key, before.log, before.jobs + 1)
    return list(found.values())[:MOST_STOPS]


def last_error(log: Path) -> str:
    """Return the message of the last record of a log if it is an error, else the empty text.

    Parameters
    ----------
    log
        Log of a job.

    Returns
    -------
    str
        The last line alone of a traceback.
    """
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    records = list(_RECORD.finditer(text))
    if not records or records[-1][1] not in ("ERROR", "CRITICAL"):
        return ""
    message = text[records[-1].end() :].strip()
    head, _, trace = message.partition("\nTraceback (most recent call last):")
    return f"{head}\n{trace.strip().splitlines()[-1]}" if trace else message


def chunks_done(root: Path, chunks: int, runs: int) -> dict[str, tuple[int, int]]:
    """Return of each stage that works in chunks how many are done, of how many.

    Parameters
    ----------
    root
        Working directory of the volume.
    chunks, runs
        Chunks of the volume, and runs of the matching.

    Returns
    -------
    dict of tuple
        By stage; nothing before the chunks are planned.
    """
    if not chunks:
        return {}
    done = {stage: len(list(root.glob(p.format(run="*")))) for stage, p in PARTS.items()}
    return {stage: (n, chunks * (runs if stage == "match" else 1)) for stage, n in done.items()}


def fingerprint(root: Path = Path()) -> str:
    """Return a digest of all logs and benchmarks: it changes when any job has run.

    Parameters
    ----------
    root
        Working directory of the volume.

    Returns
    -------
    str
        Hexadecimal.
    """
    digest = hashlib.sha256()
    for folder in (LOGS, BENCHMARKS):
        for path in sorted(_files(root, folder)):
            seen = path.stat()
            digest.update(f"{path.relative_to(root)} {seen.st_size} {seen.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(root: Path, folder: Path) -> Iterator[Path]:
    paths = (path for path in (root / folder).rglob("*.*") if path.is_file())
    return (path for path in paths if path.relative_to(root).parts[1] not in OWN)
