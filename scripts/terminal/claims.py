"""Which run is at work on which part of a volume: a transfer and a preview beside everything else.

Snakemake's lock is one for a working directory, and one that a killed run left behind stops every
run after it. Here a volume has parts (`PARTS`), a run claims those it works on, and what others
have claimed it takes as it stands. A claim is a file that names host, process and command; one
whose process is gone is taken over, after the jobs that it left on this host have been ended.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError

from scripts.lib import files
from scripts.lib.job import UserError
from scripts.lib.running import CLAIMS, alive, started

_PASSED = (Path("transfer/gate.json"), Path("transfer/layers.tsv"))
_ONCE = Path("transfer/passed_once")  # stays when the gate is looked at again
_REMADE_S = 120.0  # Snakemake removes outputs before their job runs, which takes seconds
_BESIDE = "VOLUME_BESIDE_TRANSFER"  # in the environment of a run, and of all its jobs
_RUN = "VOLUME_RUN"  # in the environment of a run and of all its jobs: whose they are
_GRACE_S = 10.0  # for jobs of a dead run to end when asked
# part -> the targets that are it, and files of rules or single rules that make it
PARTS: Mapping[str, Sequence[str]] = {
    "transfer": ("transfer", "take_layers"),
    "headers": ("cache_headers", "read_headers", "copy_masks"),
    "preview": ("preview",),
    "doctor": ("doctor",),
    "estimate": ("estimate",),
    "report_so_far": ("report_so_far",),
}
REST = "volume"
# wanted by several runs for a moment: claimed where free, and set free when their jobs are done
SHARED = ("transfer", "headers")


def part_of(rule: str, rule_file: str) -> str:
    """Return the part of a volume that a rule makes.

    Parameters
    ----------
    rule
        Its name.
    rule_file
        Name of its file, without the ending.

    Returns
    -------
    str
        Part; ``volume`` for all that is no part of its own.
    """
    names = {rule, rule_file}
    return next((part for part, of in PARTS.items() if names & set(of)), REST)


def wanted(targets: Iterable[str]) -> list[str]:
    """Return the parts that a run must have to itself.

    Parameters
    ----------
    targets
        What was asked for; nothing is the whole.

    Returns
    -------
    list of str
        Parts, each once.
    """
    return sorted({part_of(each, each) for each in targets or ("all",)})


class Claims:
    """The claims of one run.

    Parameters
    ----------
    work
        Working directory of the volume.
    say
        Tells a line to a person.
    """

    def __init__(self, work: Path, say: Callable[[str], None]) -> None:
        self._work, self._folder, self._say = work, work / CLAIMS, say
        self.held: set[str] = set()
        self.elsewhere: dict[str, str] = {}  # part -> the run that has it, in words
        self._me = {"host": socket.gethostname(), "pid": os.getpid(), "started": started("self")}

    def begin(self, workflow: Any) -> None:  # noqa: ANN401
        """Claim what a run works on, and leave to others what they have claimed.

        Parameters
        ----------
        workflow
            Snakemake's object of the run, before its jobs are planned.

        Raises
        ------
        WorkflowError
            When another run is at work on the same, or has not yet made what this one starts from.
        """
        try:
            self.take(workflow.dag_settings.targets)
            if found := self.elsewhere.get("transfer"):
                self._beside_a_transfer(found)
        except UserError as error:
            self.release()
            raise WorkflowError(str(error)) from None
        if self.elsewhere:
            workflow.dag_settings.allowed_rules = allowed(workflow.rules, self.elsewhere)

    def _beside_a_transfer(self, found: str) -> None:
        os.environ[_BESIDE] = "1"
        if not wait_for_transfer(self._work):
            raise UserError(
                f"transfer: the run {found} is at work on it, and nothing has passed its gate yet."
                " Start the same command again when it has."
            )
        self._say(f"transfer: left to the run {found}; this one takes what passed its gate before.")

    def take(self, targets: Iterable[str]) -> None:
        """Claim what a run needs, and where they are free the parts that runs share.

        Parameters
        ----------
        targets
            What was asked for.

        Raises
        ------
        UserError
            When another run is at work on the same.
        """
        os.environ[_RUN] = _name(self._me)
        needed = wanted(targets)
        shared = SHARED if {REST, "preview"} & set(needed) else ()
        with self._guard():
            others = {part: self._other(part) for part in {*needed, *shared}}
            for part in needed:
                if found := others[part]:
                    raise UserError(_refusal(part, found, self._path(part)))
            for part, found in others.items():
                if found:
                    self.elsewhere[part] = _words(found)
                else:
                    self._write(part)
        atexit.register(self.release)

    def release(self, parts: Iterable[str] | None = None) -> None:
        """Give up claims.

        Parameters
        ----------
        parts
            Which; default: all.
        """
        for part in set(self.held if parts is None else parts) & self.held:
            self.held.discard(part)
            if _same(self._read(part), self._me):
                self._path(part).unlink(missing_ok=True)

    def _other(self, part: str) -> dict[str, Any] | None:
        """Return the living run that has a part; one that is dead is cleared away."""
        found = self._read(part)
        if found is None or alive(found):
            return found
        left = _jobs_of(found)
        ended = f", and {_count(left, 'job')} that it left are ended" if left else ""
        self._say(f"{part}: the run {_words(found)} is gone: its claim is taken over{ended}.")
        _end(left)
        self._path(part).unlink(missing_ok=True)
        return None

    def _write(self, part: str) -> None:
        command = shlex.join(["snakemake", *sys.argv[1:]])
        since = time.strftime("%Y-%m-%d %H:%M")
        files.write_json(self._path(part), {**self._me, "since": since, "command": command})
        self.held.add(part)

    def _read(self, part: str) -> dict[str, Any] | None:
        try:
            return dict(files.read_json(self._path(part)))
        except FileNotFoundError:
            return None

    def _path(self, part: str) -> Path:
        return self._folder / f"{part}.json"

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Let one run at a time look at the claims and write its own."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "guard").open("a") as file:
            with suppress(OSError):  # a file system without locks: the moment is short
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def of_run(workflow: Any, work: Path, say: Callable[[str], None]) -> Claims:  # noqa: ANN401
    """Let a run claim what it works on, in the place of Snakemake's lock.

    Its targets are known when Snakemake begins to plan the jobs, after all rules are read; so its
    method for that is replaced on the object. With ``--nolock``, in dry runs and in the jobs of a
    run nothing is claimed.

    Parameters
    ----------
    workflow
        Snakemake's object of the run, whose rules are being read.
    work
        Working directory of the volume.
    say
        Tells a line to a person.

    Returns
    -------
    Claims
        Of this run; without any where nothing is claimed.
    """
    claims, plan = Claims(work, say), workflow._prepare_dag

    def claim_and_plan(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        locks = kwargs.get("nolock") is False and not workflow.dryrun
        if not workflow.is_main_process and os.environ.get(_BESIDE):
            wait_for_transfer(work)
        if workflow.is_main_process and locks:
            claims.begin(workflow)
            kwargs["nolock"] = True
        plan(*args, **kwargs)

    workflow._prepare_dag = claim_and_plan
    return claims


def wait_for_transfer(work: Path, remade_s: float = _REMADE_S, poll_s: float = 0.2) -> bool:
    """Wait while another run makes again what this one takes from the transfer.

    Parameters
    ----------
    work
        Working directory of the volume.
    remade_s
        Longest time that takes, s.
    poll_s
        Time between two looks.

    Returns
    -------
    bool
        Whether all of it is there; at once where nothing has ever passed the gate.
    """
    end = time.monotonic() + remade_s
    while not (there := all((work / path).is_file() for path in _PASSED)):
        if not (work / _ONCE).is_file() or time.monotonic() > end:
            break
        time.sleep(poll_s)
    return there


def allowed(rules: Iterable[Any], elsewhere: Iterable[str]) -> set[str]:
    """Return the rules that a run may use beside others.

    Parameters
    ----------
    rules
        Snakemake's rules.
    elsewhere
        Parts that other runs work on.

    Returns
    -------
    set of str
        Names of rules.
    """
    return {
        rule.name
        for rule in rules
        if part_of(rule.name, Path(str(rule.snakefile)).stem) not in set(elsewhere)
    }


def release_shared(claims: Claims, workflow: Any, poll_s: float = 2.0) -> None:  # noqa: ANN401
    """Give up the shared parts as soon as a run has no more jobs of theirs.

    Parameters
    ----------
    claims
        Of the run.
    workflow
        Snakemake's object of the run, whose jobs are known.
    poll_s
        Time between two looks.
    """
    needed = set(wanted(workflow.dag_settings.targets))

    def watch() -> None:
        while shared := (claims.held & set(SHARED)) - needed:
            with suppress(RuntimeError):  # the jobs are being planned anew
                at_work = {
                    part_of(job.rule.name, Path(str(job.rule.snakefile)).stem)
                    for job in workflow.dag.needrun_jobs()
                }
                claims.release(shared - at_work)
            time.sleep(poll_s)

    threading.Thread(target=watch, daemon=True).start()


# ---- processes ---------------------------------------------------------------------------------


def _same(one: Mapping[str, Any] | None, two: Mapping[str, Any]) -> bool:
    return one is not None and all(one[key] == two[key] for key in ("host", "pid", "started"))


def _name(run: Mapping[str, Any]) -> str:
    return f"{run['host']}:{run['pid']}:{run['started']}"


def _jobs_of(run: Mapping[str, Any]) -> list[int]:
    """Return the processes of this host that carry the name of a run, which jobs inherit."""
    mark = f"{_RUN}={_name(run)}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def _end(pids: Sequence[int]) -> None:
    """End processes; those that stay are killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        end = time.monotonic() + _GRACE_S
        while (pids := [pid for pid in pids if _runs(pid)]) and time.monotonic() < end:
            time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        state = re.search(r"\) (\w)", Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return False
    return state is None or state[1] != "Z"


# ---- words -------------------------------------------------------------------------------------


def _words(found: Mapping[str, Any]) -> str:
    return f"{found['pid']} on {found['host']} since {found['since']} ({found['command']})"


def _refusal(part: str, found: Mapping[str, Any], path: Path) -> str:
    line = f"{part}: another run is at work on it: {_words(found)}. Nothing was started."
    if found["host"] == socket.gethostname():
        return line
    return (
        f"{line} If that process is gone (this host cannot know), remove {path} and start the same"
        " command again."
    )


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
