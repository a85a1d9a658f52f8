#!/usr/bin/env python3
"""A small LSF for tests: bsub, bjobs, bkill, badmin, lsclusters and bhist in one file.

Each command is a link to this file. Jobs are processes of this host; all state lives in the
folder that FAKELSF_DIR names (`prepare` makes it):

    calls.jsonl        every command as it was called: {"command", "argv", "cwd"}
    jobs/ID.json       one job: options, command, state, exit code, what ended it
    jobs/ID.kill       somebody asked for its end
    away               while it is there every command says that LSF is down
    slots/K            a core; a job of n cores runs while it holds the locks of n of them
    conf/, share/      the files of an LSF that the executor plugin looks into

Jobs go PEND -> RUN -> DONE (exit code 0) or EXIT, and stay listed afterwards.
"""

from __future__ import annotations

import fcntl
import fnmatch
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

CLUSTER = "fakelsf"
POLL_S = 0.05
GRACE_S = 2.0  # between USR2 and KILL of a job that ran out of time
# options of bsub that take a value; `-env all` is parsed and ignored, the child inherits anyway
VALUED = {"-J", "-o", "-e", "-env", "-P", "-q", "-W", "-n", "-R", "-cwd", "-M", "-app", "-g"}
REPEATED = {"-R"}


def home() -> Path:
    """Give the folder of all state."""
    return Path(os.environ["FAKELSF_DIR"])


def prepare(folder: Path, *, slots: int = 2) -> dict[str, str]:
    """Make the state folder; give the environment in which the commands work."""
    for sub in ("jobs", "slots", f"conf/lsbatch/{CLUSTER}/configdir", f"share/{CLUSTER}/logdir"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for slot in range(slots):
        (folder / "slots" / str(slot)).touch()
    params = folder / f"conf/lsbatch/{CLUSTER}/configdir/lsb.params"
    params.write_text(
        "Begin Parameters\nDEFAULT_QUEUE = fallback  # of this cluster\nEnd Parameters\n"
    )
    (folder / f"share/{CLUSTER}/logdir/lsb.events").touch()
    commands = Path(__file__).resolve().parent / "bin"
    return {
        "FAKELSF_DIR": str(folder),
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
    }


def calls(folder: Path) -> list[dict]:
    """Give every command called so far, in order."""
    log = folder / "calls.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def jobs(folder: Path) -> list[dict]:
    """Give every job, in order of submission."""
    numbers = sorted(int(path.stem) for path in folder.glob("jobs/*.json"))
    return [load(folder, number) for number in numbers]


def load(folder: Path, number: int) -> dict:
    return json.loads((folder / f"jobs/{number}.json").read_text())


def save(folder: Path, job: dict) -> None:
    """Publish a job's state: readers see the old or the new one, never half of it."""
    path = folder / f"jobs/{job['id']}.json"
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(job))
    partial.replace(path)


def note_call(command: str, argv: list[str]) -> None:
    with (home() / "calls.jsonl").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.write(json.dumps({"command": command, "argv": argv, "cwd": str(Path.cwd())}) + "\n")


# ---- bsub ------------------------------------------------------------------------------------


def parse_bsub(argv: list[str]) -> tuple[dict, str]:
    """Split bsub's arguments into options (as LSF names them) and the command line."""
    options: dict = {"-R": []}
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in VALUED or not rest:
            sys.exit(f"{name}: Illegal option. Job not submitted.")
        value = rest.pop(0)
        if name in REPEATED:
            options[name].append(value)
        else:
            options[name] = value
    if not rest:
        sys.exit("Command not specified. Job not submitted.")
    return options, " ".join(rest)


def record(options: dict, command: str) -> dict:
    """Make the record of a new job: what a test asserts, in plain names and units."""
    needs = " ".join(options["-R"])
    memory = re.search(r"rusage\[mem=([\d.]+)\]", needs)
    span = re.search(r"span\[([^\]]+)\]", needs)
    return {
        "name": options.get("-J", ""),
        "queue": options.get("-q", "fallback"),
        "project": options.get("-P", "default"),
        "cores": int(options.get("-n", 1)),
        "minutes": int(options["-W"]) if "-W" in options else None,
        "memory_per_core": float(memory[1]) if memory else None,
        "span": span[1] if span else None,
        "cwd": options.get("-cwd", str(Path.cwd())),
        "log": options.get("-o"),
        "command": command,
        "state": "PEND",
        "exit": None,
        "ended_by": None,
    }


def enlist(folder: Path, job: dict) -> dict:
    """Publish a new job under the next free number; give it with its number."""
    number = len(list(folder.glob("jobs/*.json"))) + 1
    partial = folder / f"jobs/new.{os.getpid()}.partial"
    while True:
        partial.write_text(json.dumps(job | {"id": number}))
        try:
            os.link(partial, folder / f"jobs/{number}.json")  # fails where the number is taken
        except FileExistsError:
            number += 1
        else:
            partial.unlink()
            return job | {"id": number}


def bsub(argv: list[str]) -> int:
    """Accept a job, start its shepherd and return at once."""
    options, command = parse_bsub(argv)
    job = record(options, command)
    if re.search(r"[\[\]%]", job["name"]):
        # in LSF name[1-5] makes a job array: a wildcard with brackets would be misread
        sys.exit(f"{job['name']}: Bad job array specification. Job not submitted.")
    if job["cores"] > len(list(home().glob("slots/*"))):
        sys.exit(f"{job['cores']} cores: more than this cluster has. Job not submitted.")
    job = enlist(home(), job)
    if detach():
        shepherd(home(), job)
        os._exit(0)
    print(f"Job <{job['id']}> is submitted to queue <{job['queue']}>.")
    return 0


def detach() -> bool:
    """Fork twice; give True in the grandchild, which holds none of the caller's streams.

    A caller that reads bsub's output up to its end would hang on an inherited stdout.
    """
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    return True


def shepherd(folder: Path, job: dict) -> None:
    """Wait for cores, run the job, write down how it ended."""
    held = take_slots(folder, job)
    if not held:
        end(folder, job, code=143, by="bkill")
        return
    log = (Path(job["log"]) if job["log"] else folder / f"jobs/{job['id']}.out").open("ab")
    environment = {**os.environ, "LSB_JOBID": str(job["id"]), "LSB_JOBNAME": job["name"]}
    command = job["command"]
    if faster := os.environ.get("FAKELSF_SNAKEMAKE"):  # another program that does the same
        command = re.sub(r"\S+ -m snakemake(?= )", lambda _: faster, command, count=1)
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=job["cwd"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    save(folder, job | {"state": "RUN", "pid": process.pid})
    watch(folder, job, process)
    for slot in held:
        slot.close()


def take_slots(folder: Path, job: dict) -> list:
    """Lock as many cores as the job asks for, all or none; nothing when it is killed before."""
    while not (folder / f"jobs/{job['id']}.kill").exists():
        held = []
        for path in sorted(folder.glob("slots/*")):
            slot = path.open("a")
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                slot.close()
                continue
            held.append(slot)
            if len(held) == job["cores"]:
                return held
        for slot in held:
            slot.close()
        time.sleep(POLL_S)
    return []


def watch(folder: Path, job: dict, process: subprocess.Popen) -> None:
    """Let the job end, or end it: killed by a person, or out of time (140, as in LSF)."""
    seconds = (
        None
        if job["minutes"] is None
        else job["minutes"] * float(os.environ.get("FAKELSF_MINUTE_S", "60"))
    )
    start = time.monotonic()
    while process.poll() is None:
        if (folder / f"jobs/{job['id']}.kill").exists():
            stop(process, signal.SIGTERM)
            return end(folder, job, code=143, by="bkill")
        if seconds is not None and time.monotonic() - start > seconds:
            stop(process, signal.SIGUSR2)
            return end(folder, job, code=140, by="TERM_RUNLIMIT")
        time.sleep(POLL_S)
    return end(folder, job, code=process.returncode, by=None)


def stop(process: subprocess.Popen, first: signal.Signals) -> None:
    """Signal the job's processes, and kill those that stay."""
    os.killpg(process.pid, first)
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end(folder: Path, job: dict, *, code: int, by: str | None) -> None:
    if by and job["log"]:  # LSF's report at the end of a job's output
        with Path(job["log"]).open("a") as log:
            reason = {"bkill": "TERM_OWNER: job killed by owner."}.get(by, f"{by}: job killed.")
            log.write(f"{reason}\nExited with exit code {code}.\n")
    save(folder, job | {"state": "EXIT" if code else "DONE", "exit": code, "ended_by": by})


# ---- the other commands ----------------------------------------------------------------------


WITH_LOGS = "jobid stat output_file delimiter='|'"


def bjobs(argv: list[str]) -> int:
    """State of jobs: `-o 'jobid stat' -aJ PATTERN`, or with logs: `-o "… delimiter='|'" ID…`."""
    if argv[:3] == ["-noheader", "-o", WITH_LOGS]:
        known = {str(job["id"]): job for job in jobs(home())}
        for number in argv[3:]:
            if number in known:
                print(f"{number}|{known[number]['state']}|{known[number]['log']}")
            else:
                print(f"Job <{number}> is not found", file=sys.stderr)
        return 0 if set(argv[3:]) <= set(known) else 255
    if "-noheader" not in argv or "jobid stat" not in argv or "-aJ" not in argv:
        sys.exit("this fake knows: bjobs -noheader -o 'jobid stat' -aJ PATTERN, and with logs")
    pattern = argv[argv.index("-aJ") + 1]
    found = [job for job in jobs(home()) if fnmatch.fnmatchcase(job["name"], pattern)]
    for job in found:
        print(job["id"], job["state"])
    if not found:
        print(f"Job <{pattern}> is not found", file=sys.stderr)
    return 0 if found else 255


def bkill(argv: list[str]) -> int:
    """Ask for the end of jobs by number."""
    for number in argv:
        if not (home() / f"jobs/{number}.json").exists():
            print(f"Job <{number}>: No matching job found", file=sys.stderr)
            return 255
        (home() / f"jobs/{number}.kill").touch()
        print(f"Job <{number}> is being terminated")
    return 0


def badmin(argv: list[str]) -> int:
    """`badmin showconf mbd`: where the files of the cluster lie, and the unit of memory."""
    if argv != ["showconf", "mbd"]:
        sys.exit("this fake knows: badmin showconf mbd")
    print("MBD configuration at the current time:")
    print(f"        LSB_SHAREDIR = {home() / 'share'}")
    print(f"        LSF_CONFDIR = {home() / 'conf'}")
    print("        LSF_UNIT_FOR_LIMITS = MB")
    return 0


def lsclusters(argv: list[str]) -> int:  # noqa: ARG001 - one signature for all commands
    """Name the cluster in the second line."""
    print("CLUSTER_NAME   STATUS   MASTER_HOST   ADMIN   HOSTS  SERVERS")
    print(f"{CLUSTER}        ok       master        lsfadmin    1        1")
    return 0


def bhist(argv: list[str]) -> int:  # noqa: ARG001
    """Give the projects of earlier jobs."""
    for job in jobs(home()):
        print(f"Job <{job['id']}>, Project <{job['project']}>")
    return 0


COMMANDS = {each.__name__: each for each in (bsub, bjobs, bkill, badmin, lsclusters, bhist)}


if __name__ == "__main__":
    called = Path(sys.argv[0]).name
    note_call(called, sys.argv[1:])
    if (home() / "away").exists():
        sys.exit("LSF is down. Please wait ...")
    sys.exit(COMMANDS[called](sys.argv[1:]))
