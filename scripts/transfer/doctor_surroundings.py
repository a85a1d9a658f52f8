"""The doctor's look around: the service, the scope, the cluster's queues, programs, libraries."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from subprocess import TimeoutExpired, run
from typing import Any

from scripts.lib.job import UserError
from scripts.lib.provenance import LIBRARIES
from scripts.lib.service.client import RenderClient
from scripts.lib.service.errors import RenderError
from scripts.lib.service.session import TAKEOVER_URL, is_embedded, token_of_environment
from scripts.transfer import state
from scripts.transfer.finding import ERROR, FACT, NOTE, Case, Finding

LOCK = Path(__file__).resolve().parents[2] / "envs/lock.txt"
LIMIT_S = (5.0, 20.0)  # to connect, to answer: a person waits
QUEUE_S = 30
# resource of a rule -> the program that knows its values
QUEUES = {"lsf_queue": ["bqueues"], "slurm_partition": ["sinfo", "--noheader", "--partition"]}
PATIENCE_S = 10.0  # a service that is restarted right now; jobs wait longer


def service() -> Iterator[Finding]:
    """Ask the service that the environment names for its version, and one that is taken over.

    Yields
    ------
    Finding
        None for embedded services, which are files; of a token that cannot be read alone, for
        nothing is asked without it.
    """
    if fault := _token_fault():
        yield fault
        return
    for key, name in (("render.url", "RENDER_WS_URL"), ("takeover.render.url", TAKEOVER_URL)):
        if not is_embedded(url := os.environ.get(name, "")):
            yield from _answer(key, url)


def _token_fault() -> Finding | None:
    """Return what is wrong with the file of the token; embedded services ask for none."""
    if is_embedded(os.environ.get("RENDER_WS_URL", "")):
        return None
    try:
        token_of_environment()
    except UserError as error:
        key, _, said = str(error).partition(" ")
        change = f"Mend {key}: one word, as serve --token-file has it"
        return Finding(ERROR, key, said, "the file of a token", change)
    return None


def _answer(key: str, url: str) -> Iterator[Finding]:
    patience_s = min(PATIENCE_S, float(os.environ.get("RENDER_WS_PATIENCE_S", PATIENCE_S)))
    how: dict[str, Any] = {"timeout_s": LIMIT_S, "patience_s": patience_s}
    client = RenderClient("", "", base_url=url, foreign=key != "render.url", **how)
    try:
        version = client.version()
    except RenderError as error:
        said = str(error).removeprefix(f"{key}: ").rstrip(".")
        yield Finding(ERROR, key, said, "an answer of a render-ws", "No job was begun")
    else:
        words = ", ".join(f"{k} {v}" for k, v in version.items()) or "a render-ws without a version"
        yield Finding(FACT, key, words, "an answer", "")
    finally:
        client.close()


def scope(case: Case) -> Iterator[Finding]:
    """Ask the scope for its flags, as the transfer will.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        None where the scope has nothing more to give.
    """
    settings = case.config["transfer"]["scope"]
    if settings is None:
        return
    fault = state.scope_fault(settings, case.config["acquisition"], case.work_dir)
    if fault:
        who = settings["host"] or settings["keep_path"]
        change = "Mend transfer.scope; no password is asked for, so a key has to be there"
        yield Finding(ERROR, "transfer.scope", fault, f"the flags of {who}", change)


def programs(case: Case) -> Iterator[Finding]:
    """Look for the programs that the config asks for, and at the versions of libraries.

    Parameters
    ----------
    case
        The volume.

    Yields
    ------
    Finding
        A program that is absent is an error; libraries that are not those of the lock, a note.
    """
    settings = case.config["transfer"]["scope"]
    if settings is not None and settings["host"] is not None:
        for name in ("ssh", settings["method"]):
            if shutil.which(name) is None:
                yield Finding(
                    ERROR, "transfer.scope.method", f"no program {name}", f"{name}", "Install it"
                )
    others = [
        f"{name} {have} (lock: {locked})"
        for name, locked in pinned(LOCK).items()
        if (have := _installed(name)) != locked
    ]
    if others:
        expected = "the versions of envs/lock.txt"
        change = "Results may differ in rounding; `make env` installs them"
        yield Finding(NOTE, "envs", ", ".join(others), expected, change, LOCK.name)


def queues(resources: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Ask the cluster for the queues that jobs are sent to.

    Parameters
    ----------
    resources
        Of each rule, value by name; values that are no plain name are left out.

    Yields
    ------
    Finding
        A queue or partition that the cluster does not know. None where its program is not here.
    """
    asked = {(n, str(each[n])) for each in resources for n in QUEUES if each.get(n) is not None}
    for name, queue in sorted(asked):
        program, *options = QUEUES[name]
        if shutil.which(program) is None or not re.fullmatch(r"[\w.-]+", queue):
            continue
        try:
            done = run([program, *options, queue], capture_output=True, text=True, timeout=QUEUE_S)
        except (OSError, TimeoutExpired) as error:
            found = f"no answer of {program} ({error})"
        else:
            found = (done.stderr.strip() or f"nothing said by {program}").splitlines()[0]
            if done.returncode == 0 and done.stdout.strip():
                continue
        change = f"Set {name} under default-resources or set-resources in the profile"
        yield Finding(ERROR, name, found, f"a queue {queue}", change)


def pinned(lock: Path) -> dict[str, str]:
    """Return the versions of the numerical libraries that a lock file names.

    Parameters
    ----------
    lock
        The lock file.

    Returns
    -------
    dict
        Version by distribution.
    """
    mine = {name for names in LIBRARIES.values() for name in names}
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(), re.MULTILINE)
    return {name: version for name, version in found if name in mine}


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
