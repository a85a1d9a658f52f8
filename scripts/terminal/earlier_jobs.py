"""Jobs of an earlier run that the cluster still has: cancelled before their work is redone.

A run that was killed leaves its jobs to the scheduler. The next run does their work again, and two
jobs would write the same files. So each run notes the scheduler's number of every job with its
rules as long as the scheduler has it (Snakemake's own note of it is overwritten by the job); the
scheduler tells whether it still has a job of that number, and the place of the job's log whether it
is one of this volume.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scripts.lib import files
from scripts.lib.job import UserError

LIMIT_S = 120.0  # for cancelled jobs to end
_POLL_S = 2.0
_TIMEOUT_S = 60.0
_HANDED_IN = Path(".snakemake/handed_in")
_AT_WORK = {
    "slurm": {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "STOPPED"},
    "lsf": {"PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "PROV", "WAIT", "UNKWN"},
}
_CANCEL = {"slurm": "scancel", "lsf": "bkill"}
_SHOWN = 8


class Notes:
    """The jobs that the scheduler has: a file for each number.

    Parameters
    ----------
    work
        Working directory.
    """

    def __init__(self, work: Path) -> None:
        self._folder = work / _HANDED_IN

    def keep(self, number: str, rules: Sequence[tuple[str, str]]) -> None:
        """Note a job that the scheduler took.

        Parameters
        ----------
        number
            The scheduler's number of it.
        rules
            Rule and name of its file; several of a group.
        """
        files.write_json(self._folder / f"{number}.json", {"rules": [list(each) for each in rules]})

    def drop(self, number: str) -> None:
        """Forget a job that has ended.

        Parameters
        ----------
        number
            The scheduler's number of it.
        """
        (self._folder / f"{number}.json").unlink(missing_ok=True)

    def kept(self) -> dict[str, list[tuple[str, str]]]:
        """Return the jobs of which no run has seen the end.

        Returns
        -------
        dict of str to list of tuple of str
            The scheduler's number -> rules, with the names of their files.
        """
        found = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        return {
            path.stem: [(rule, file) for rule, file in files.read_json(path)["rules"]]
            for path in found
        }


def at_work(scheduler: str, numbers: Sequence[str], work: Path) -> list[str]:
    """Return the numbers of those jobs that a scheduler still has for a volume.

    Parameters
    ----------
    scheduler
        ``slurm`` or ``lsf``.
    numbers
        Numbers of jobs.
    work
        Working directory, in which the logs of its jobs lie.

    Returns
    -------
    list of str
        Numbers of jobs that wait or run.

    Raises
    ------
    UserError
        When the scheduler does not answer.
    """
    rows = _slurm(numbers) if scheduler == "slurm" else _lsf(numbers)
    own = f"{work.resolve()}/.snakemake/"
    return [
        number
        for number, state, log in rows
        if state.split("+")[0] in _AT_WORK[scheduler] and log.startswith(own)
    ]


def _slurm(numbers: Sequence[str]) -> list[list[str]]:
    argv = ["squeue", "--noheader", "--states=all", "--jobs", ",".join(numbers)]
    done = _ask([*argv, "--Format=JobID:32,State:32,STDOUT:4096"], unknown="Invalid job id")
    return [line.split(None, 2) for line in done.splitlines() if len(line.split(None, 2)) == 3]


def _lsf(numbers: Sequence[str]) -> list[list[str]]:
    form = "jobid stat output_file delimiter='|'"
    done = _ask(["bjobs", "-noheader", "-o", form, *numbers], unknown="is not found")
    return [line.strip().split("|", 2) for line in done.splitlines() if line.count("|") >= 2]


def _ask(argv: Sequence[str], unknown: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(_no_answer(argv[0], str(error))) from None
    if done.returncode and not done.stdout and unknown not in done.stderr:
        raise UserError(_no_answer(argv[0], done.stderr.strip()))
    return done.stdout


def _no_answer(command: str, said: str) -> str:
    return (
        f"{command}: expected an answer whether jobs of an earlier run are still at work, found:"
        f" {said or 'nothing'}. Nothing was started; start the same command when it answers."
    )


def cancel(
    scheduler: str, work: Path, mine: Callable[[str, str], bool], say: Callable[[str], None]
) -> None:
    """Cancel the jobs that earlier runs left on a cluster, and wait until they have ended.

    Parameters
    ----------
    scheduler
        ``slurm`` or ``lsf``; of others nothing is known.
    work
        Working directory.
    mine
        Tells of a rule and the name of its file whether this run may run it.
    say
        Tells a line to a person.

    Raises
    ------
    UserError
        When the scheduler does not answer, or jobs do not end.
    """
    notes = Notes(work)
    numbers = [n for n, rules in notes.kept().items() if any(mine(*each) for each in rules)]
    if scheduler not in _CANCEL or not numbers:
        return
    left = at_work(scheduler, numbers, work)
    if left:
        _end(scheduler, left, work, say)
    for number in numbers:
        notes.drop(number)


def _end(scheduler: str, left: list[str], work: Path, say: Callable[[str], None]) -> None:
    say(f"{_named(left)} of an earlier run that was killed: cancelled before the work is redone.")
    _ask([_CANCEL[scheduler], *left], unknown="already")
    end = time.monotonic() + LIMIT_S
    while left := at_work(scheduler, left, work):
        if time.monotonic() > end:
            raise UserError(
                f"{_named(left)} of an earlier run cannot be cancelled within {LIMIT_S:.0f} s, and"
                f" would write the same files. End them with `{_CANCEL[scheduler]}"
                f" {' '.join(left)}`, then start again."
            )
        time.sleep(_POLL_S)


def _named(numbers: Sequence[str]) -> str:
    more = ", …" if len(numbers) > _SHOWN else ""
    noun = "job" if len(numbers) == 1 else "jobs"
    return f"{len(numbers)} {noun} ({', '.join(numbers[:_SHOWN])}{more})"
