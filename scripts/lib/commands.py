"""Commands as a person types them, for messages: with the volume that the run was started for.

The Snakefile remembers in the environment how it was started; jobs inherit it, and nothing of it is
a param, so that another way to start re-runs nothing.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Sequence

_REMEMBERED = "VOLUME_COMMAND"
# options that say which volume and where to run; all others were meant for one run
_CONFIG = ("--configfile", "--configfiles")
_SEVERAL = {*_CONFIG, "--config"}  # take any number of values
_ONE = {"--profile", "--snakefile", "-s", "--cores", "-c", "--jobs", "-j", "--directory", "-d"}
# of a job that was started by hand, or where the environment got lost: what is to be filled in
_SECTION = re.compile(r"^([a-z]\w*):\n +\S", re.MULTILINE)  # of the config, lines below it
_UNKNOWN = ["--profile", "PROFILE", "--configfile", "CONFIG"]


def kept(argv: Sequence[str]) -> list[str]:
    """Return the arguments of Snakemake that hold for every command of a volume.

    Parameters
    ----------
    argv
        Arguments that Snakemake was started with.

    Returns
    -------
    list of str
        Options that say which volume and where to run, with their values.
    """
    found: list[str] = []
    values = 0.0  # that may still belong to the option before
    for each in argv:
        if each.startswith("-"):
            option, equals, _ = each.partition("=")
            most = math.inf if option in _SEVERAL else 0 if equals else 1
            mine = option in _SEVERAL or option in _ONE
            values = most if mine else 0
        else:
            mine, values = values > 0, max(values - 1, 0)
        if mine:
            found.append(each)
    return found


def remember(argv: Sequence[str]) -> None:
    """Keep, for this process and its jobs, how a run was started.

    Parameters
    ----------
    argv
        Arguments that Snakemake was started with.
    """
    os.environ[_REMEMBERED] = json.dumps(kept(argv))


def run(target: str = "all", *extra: str) -> str:
    """Return a command for the volume of this run.

    Parameters
    ----------
    target
        Stage or other target; ``all`` is the default of Snakemake.
    *extra
        Further options, with their values.

    Returns
    -------
    str
        As one types it in the folder of the Snakefile: target first, because ``--configfile`` and
        ``--forcerun`` would take it for a value.
    """
    words = ["snakemake", *([] if target == "all" else [target]), *_remembered(), *extra]
    return shlex.join(words)


def again(rule: str, target: str = "all") -> str:
    """Return the command that runs a rule although nothing it depends on changed.

    Parameters
    ----------
    rule
        Its name.
    target
        How far to go.

    Returns
    -------
    str
        As one types it.
    """
    return run(target, "--forcerun", rule)


def module(name: str, *extra: str) -> str:
    """Return a command that takes the config of the volume of this run.

    Parameters
    ----------
    name
        Module, like ``scripts.review.decide``.
    *extra
        Further arguments.

    Returns
    -------
    str
        As one types it in the folder of the Snakefile.
    """
    return shlex.join(["python", "-m", name, config_file(), *extra])


def into_sections(message: str) -> str:
    """Return a message with the command that puts its lines into sections that are there.

    Parameters
    ----------
    message
        What a person reads; lines for the config begin with a section alone on its line.

    Returns
    -------
    str
        Unchanged where it has no such lines, or names the command that writes all of them.
    """
    sections = set(_SECTION.findall(message))
    if "scripts.review.decide" in message:
        sections.discard("review")
    if not sections:
        return message
    return (
        f"{message.rstrip()}\n\nInto a section that is there already"
        f" {module('scripts.lib.paste', '--write')} puts such lines: paste them into it, then"
        " Ctrl-D; entries join the end of a list."
    )


def config_file() -> str:
    """Return the config file of the volume of this run.

    Returns
    -------
    str
        As it was typed; the demo's where none was.
    """
    return next(iter(config_files(_remembered())), "config/config.yaml")


def config_files(argv: Sequence[str]) -> list[str]:
    """Return the config files that arguments of Snakemake name.

    Parameters
    ----------
    argv
        Arguments that Snakemake was started with.

    Returns
    -------
    list of str
        As they were typed.
    """
    found, inside = [], False
    for word in argv:
        option, equals, value = word.partition("=")
        if word.startswith("-"):
            inside = option in _CONFIG and not equals
            found += [value] if option in _CONFIG and equals else []
        elif inside:
            found.append(word)
    return found


def _remembered() -> list[str]:
    known = os.environ.get(_REMEMBERED)
    return list(json.loads(known)) if known else _UNKNOWN
