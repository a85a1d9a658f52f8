"""What a failed job says: its last message, out of its log, in the words of a person."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.lib import commands
from scripts.lib.gates import GATES, to_look_at
from scripts.lib.job import full_disk, needs
from scripts.terminal.ending import MADE

_RECORD = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) ([\w.]+): ", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):"
_LONGEST_LOG_BYTES = 200_000  # of the end of a log; the last message stands there
_JOBS_NAMED = 3
_WORDS = 160  # characters of the last words of a log
_KINDS_SHOWN = 3
_NUMBER = re.compile(r"\d+")
_OUT_OF_MEMORY = re.compile(
    r"SIGKILL|exit status (?:-9|137)\b|TERM_MEMLIMIT|OUT_OF_ME|status is: '?OUT_OF_MEMORY"
    r"|xceeded (?:job )?memory limit|oom.kill"
)
_OUT_OF_TIME = re.compile(r"TERM_RUNLIMIT|status is: '?TIMEOUT|DUE TO TIME LIMIT")
_ENDED = re.compile(r"SIGTERM|exit status (?:-15|143)\b|TERM_OWNER|TERM_ADMIN|CANCELLED")
_CRASH = re.compile(r"SIGSEGV|SIGBUS|exit status (?:-11|139|-7|135)\b")
_NODE = re.compile(r"NODE_FAIL|BOOT_FAIL|NODE FAILURE")
_STATUS = re.compile(r"exit (?:status|code) (\d+)")
# a submission that the scheduler refused: its words, without the whole command
_REFUSED = re.compile(
    r"(?:SLURM sbatch failed|job submission failed)\. The error message was '?(.+?)'?\.?"
    r"(?:\n +sbatch call:|\Z)",
    re.DOTALL,
)
_RECORDED = re.compile(r"^[\d-]+ [\d:,]+ [A-Z]+ [\w.]+: ")
_FOR_MORE = "For further error details see the cluster/cloud log and the log files"
_HEADER = re.compile(r"^(?:\w+(?:Error|Exception))(?: in [^\n]*)?(?:, line \d+)?:\n", re.MULTILINE)
_SYSTEM = re.compile(r"^\[Errno \d+\] ([^:\n]+): (.+)$")
_FULL = re.compile(r"\[Errno (?:28|122)\] ([^:\n]+)$", re.MULTILINE)  # of a file that was open
_NO_OUTPUT = re.compile(
    r"MissingOutputException in rule (\w+).*some output files are missing\. ([^.]*)\..*?:\n(.*)",
    re.DOTALL,
)
_LOCKED = re.compile(r"Directory cannot be locked.*following directory:\n([^\n]+)", re.DOTALL)
_NO_RULE = re.compile(r"No rule to produce (\w+) \(if you use input functions")
_PLACE = re.compile(r'^  File "[^\n]*", line \d+, in [^\n]*\n?', re.MULTILINE)


_CAUSES = {
    "memory": "out of memory (planned with {mem_mb} MB)",
    "time": "out of time ({runtime} min)",
    "node": "its node failed",
    "cancelled": "cancelled, by a person or the cluster",
}


@dataclass(frozen=True)
class Failure:
    """A job that failed: what Snakemake knows of it."""

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    logs: Sequence[str] = ()
    resources: Mapping[str, object] = field(default_factory=dict)
    before: Mapping[str, int] = field(default_factory=dict)  # logs of an earlier run: their times
    said: str = ""  # what Snakemake or the cluster said of its end

    @property
    def name(self) -> str:
        """Return the rule with the values of its wildcards."""
        return " ".join([self.rule, *self.wildcards.values()])


def last_message(log: str) -> str:
    """Return the last error of a job's log, or nothing.

    Parameters
    ----------
    log
        Text of the log.

    Returns
    -------
    str
        A message as it is; of a traceback its last line, named as a fault of the workflow.
    """
    found = list(_RECORD.finditer(log))
    last = found[-1] if found else None
    if last and last[1] == "ERROR" and last[2] == "job":
        return without_traceback(log[last.end() :].strip())
    return without_traceback(log) if _TRACEBACK in log else ""


def without_traceback(text: str) -> str:
    """Return a message, or what a traceback ends with.

    Parameters
    ----------
    text
        Message, perhaps with a traceback.

    Returns
    -------
    str
        Of a traceback the exception alone, named as a fault of the workflow.
    """
    if _TRACEBACK not in text:
        return text
    lines = text.rpartition(_TRACEBACK)[2].strip("\n").splitlines()
    frames = [at for at, line in enumerate(lines) if line.startswith("  ")]
    raised = "\n".join(lines[frames[-1] + 1 :] if frames else lines).strip()
    return f"A fault of the workflow itself, not of the config: {raised}"


def without_header(text: str) -> str:
    """Return what Snakemake says without the lines that name its own exception and file.

    Parameters
    ----------
    text
        An error as Snakemake prints it.

    Returns
    -------
    str
        The message; of a folder or file that cannot be made, with the key of the config.
    """
    if lacks := _NO_OUTPUT.search(text):
        files = ", ".join(line.split(" (")[0].strip() for line in lacks[3].splitlines())
        return (
            f"{lacks[1]} ended well and left no {files}. {lacks[2]}; where a network disk shows"
            " files late, make latency-wait in the profile longer."
        )
    if unknown := _NO_RULE.search(text):
        return _no_target(unknown[1])
    if locked := _LOCKED.search(text):
        unlock = commands.run("all", "--unlock")
        return (
            f"{locked[1].strip()} is locked: another run is at work there, or one was killed."
            f" In the second case type: {unlock}; then start the same command again."
        )
    text = without_traceback(_HEADER.sub("", text, count=1).strip())
    text = _PLACE.sub("", text).strip()
    if system := _SYSTEM.match(text):
        return (
            f"work_dir: cannot write {system[2]}: {system[1]}{needs()}. Set work_dir to a folder"
            " that can be made and written by whoever runs the workflow, with room for the volumes."
        )
    if full := _FULL.search(text):
        return (
            f"work_dir: cannot be written: {full[1]}{needs()}. Free some space there, or set"
            " work_dir to a folder on a larger disk; then start the same command again."
        )
    return text


def _no_target(name: str) -> str:
    near = difflib.get_close_matches(name, MADE, n=1)
    nearest = f"the nearest is {near[0]}; " if near else ""
    return (
        f"There is no target {name}; {nearest}without one all is done. Targets: {', '.join(MADE)}"
    )


def message(failure: Failure) -> str:
    """Return what a failed job says.

    Parameters
    ----------
    failure
        The job.

    Returns
    -------
    str
        The last message of its log; else how it was ended, in words.
    """
    texts = _texts(failure)
    own = next(filter(None, map(last_message, texts)), "")
    if own:
        return own
    last = _last_words(failure)
    how = _how_it_ended(failure, "\n".join([failure.said, *texts]))
    return f"{how}\nLast words of its log: {last}" if last else how


def reason(failure: Failure) -> str:
    """Return why a job failed, in one line.

    Parameters
    ----------
    failure
        The job.

    Returns
    -------
    str
        The first line of its own last message; else memory, time, node or a person, with the last
        words of its log.
    """
    texts = _texts(failure)
    own = next(filter(None, map(last_message, texts)), "")
    last = _last_words(failure)
    if own:
        return own.splitlines()[0]
    told = "\n".join([failure.said, *texts])
    cause = _CAUSES.get(cause_of(told), _how_it_ended(failure, told).splitlines()[0])
    line = cause.format(
        mem_mb=failure.resources.get("mem_mb", "?"), runtime=failure.resources.get("runtime", "?")
    )
    return f"{line}; last words of its log: {last}" if last else line


def cause_of(told: str) -> str:
    """Return what ended a job, as far as the scheduler or the system tells.

    Parameters
    ----------
    told
        What Snakemake's plugin and the job's logs say.

    Returns
    -------
    str
        ``memory``, ``time``, ``node``, ``cancelled``, or nothing.
    """
    kinds = {"memory": _OUT_OF_MEMORY, "time": _OUT_OF_TIME, "node": _NODE, "cancelled": _ENDED}
    return next((kind for kind, pattern in kinds.items() if pattern.search(told)), "")


def _texts(failure: Failure) -> list[str]:
    """Return the ends of the logs that this attempt has written."""
    return [tail(Path(path)) for path in failure.logs if written(path) != failure.before.get(path)]


def _last_words(failure: Failure) -> str:
    """Last line of the job's own log, without its time; nothing where it wrote none."""
    own = failure.logs[0] if failure.logs else ""
    if not own or written(own) == failure.before.get(own):
        return ""
    lines = tail(Path(own)).strip().splitlines()
    return _RECORDED.sub("", lines[-1]).strip()[:_WORDS] if lines else ""


def written(path: str) -> int | None:
    """Return when a log was written last.

    Parameters
    ----------
    path
        The log.

    Returns
    -------
    int or None
        Nanoseconds, on the clock of its disk; None where there is no log.
    """
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None


def summary(failures: Sequence[Failure], folder: Path) -> list[str]:
    """Return the lines that a run ends with: alike failures once, with the first log.

    Parameters
    ----------
    failures
        Jobs that failed, in order.
    folder
        Working directory, at which the logs' paths start.

    Returns
    -------
    list of str
        Lines; the first kinds of failures only.
    """
    kinds: dict[tuple[str, str], list[Failure]] = {}
    messages: dict[tuple[str, str], str] = {}
    for failure in failures:
        text = message(failure)
        kind = (failure.rule, _NUMBER.sub("#", text))
        kinds.setdefault(kind, []).append(failure)
        messages.setdefault(kind, text)
    lines: list[str] = []
    for kind, alike in list(kinds.items())[:_KINDS_SHOWN]:
        lines += [f"✗ {_names(alike)}", *messages[kind].splitlines()]
        lines += [f"look at: {page}" for page in to_look_at(kind[0], folder)]
        lines += [f"log: {folder / path}" for path in alike[0].logs[:1]]
    if len(kinds) > _KINDS_SHOWN:
        lines.append(f"… and {len(kinds) - _KINDS_SHOWN} more kinds of failures")
    return lines


def _names(alike: Sequence[Failure]) -> str:
    if alike[0].rule in GATES:
        return f"{GATES[alike[0].rule]} ({alike[0].rule}) waits for a decision of yours"
    if len(alike) == 1:
        return f"{alike[0].name} failed"
    some = ", ".join(" ".join(each.wildcards.values()) for each in alike[:_JOBS_NAMED])
    more = ", …" if len(alike) > _JOBS_NAMED else ""
    return f"{len(alike)} jobs of {alike[0].rule} failed ({some}{more})"


def tail(path: Path) -> str:
    """Return the end of a log.

    Parameters
    ----------
    path
        The log.

    Returns
    -------
    str
        Its last 200 kB; nothing where there is no log.
    """
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LONGEST_LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _how_it_ended(failure: Failure, told: str) -> str:
    """Words for an end that the job could say nothing about."""
    rule, cause = failure.rule, cause_of(told)
    profile = "under set-resources in the profile"
    if cause == "memory":
        had = failure.resources.get("mem_mb", "unknown")
        return (
            "It was killed from outside, as happens when memory runs out: it was planned with"
            f" {had} MB.\nGive it more with `{rule}:mem_mb=…` {profile}, or run fewer jobs at a"
            " time (--cores)."
        )
    if cause == "time":
        had = failure.resources.get("runtime", "unknown")
        return (
            f"Its time was over ({had} minutes).\nGive it more with `{rule}:runtime=…` {profile}."
        )
    if cause == "node":
        return "The node that it ran on failed. Start the same command again."
    if cause == "cancelled":
        return "It was ended from outside (a person, or the cluster). Start the same command again."
    if refused := _REFUSED.search(failure.said):
        return f"The scheduler did not take the job: {refused[1].strip()}"
    if full := full_disk(failure.logs[0] if failure.logs else Path.cwd()):
        return f"It had no room left for its log. {full}"
    if _CRASH.search(told):
        return (
            "It crashed in a compiled library, as happens on a full disk or with too little memory."
        )
    if status := _STATUS.search(told):
        return f"It ended with status {status[1]} before it could write its log."
    said = failure.said.partition(_FOR_MORE)[0]
    return without_header(said) or "It ended without a message."
