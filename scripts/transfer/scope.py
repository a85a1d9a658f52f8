"""The microscope's computer: the only module that talks to it, over ssh or as a local folder.

Both speak through the same few questions (which flags, which files, how long, what hash) and two
acts: fetch one file into a local path, remove one flag. Nothing else is ever changed there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from scripts.lib.job import UserError

SFTP_SINCE = 9  # version of OpenSSH


class ScopeError(Exception):
    """The scope could not be asked, or refused; the message holds command and answer."""


@dataclass(frozen=True)
class ScopeSettings:
    """Section `transfer.scope` of the config."""

    root_dat_path: str  # image folder, without the Y/M/D part
    keep_path: str  # folder of the keep flags
    data_set_id: str
    host: str | None = None  # None: the folders are local, or mounted
    method: str = "scp"
    max_minutes: float | None = None
    connect_timeout_s: int = 10
    hash: str = "none"
    port: int | None = None
    ssh_options: tuple[str, ...] = ()
    host_key_checking: bool = True
    missing_check: bool = True
    lock: str | None = None

    @staticmethod
    def of(value: Mapping[str, Any]) -> ScopeSettings:
        """Read section ``transfer.scope`` of the config.

        Parameters
        ----------
        value
            The section, with defaults.

        Returns
        -------
        ScopeSettings
            Times in s and minutes, as the names say.

        Raises
        ------
        UserError
            When host and method do not go together.
        """
        if value["host"] is not None and value["method"] == "local":
            raise UserError(
                f"transfer.scope.method is local, but transfer.scope.host is {value['host']}: "
                f"set method to scp or rsync, or host to null for a mounted folder"
            )
        return ScopeSettings(**{**value, "ssh_options": tuple(value["ssh_options"])})


class Scope(Protocol):
    """What the copier asks of a microscope's computer."""

    def flag_names(self) -> list[str]:
        """Return the names of all files in the flag folder.

        Returns
        -------
        list of str
            Without the folder.
        """

    def sizes(self, paths: Sequence[str]) -> dict[str, int]:
        """Return the sizes of files.

        Parameters
        ----------
        paths
            Paths there.

        Returns
        -------
        dict
            Bytes by path; files that are not there are left out.
        """

    def dats(self, days: Iterable[str]) -> dict[str, int]:
        """Return all ``.dat`` files of some days.

        Parameters
        ----------
        days
            Day folders ``Y<yyyy>/M<mm>/D<dd>``; those that are not there are left out.

        Returns
        -------
        dict
            Bytes by path.
        """

    def sha256(self, path: str) -> str:
        """Compute the SHA-256 of a file there.

        Parameters
        ----------
        path
            The file.

        Returns
        -------
        str
            Hexadecimal.
        """

    def fetch(self, path: str, to: Path) -> None:
        """Copy one file to a local path.

        Parameters
        ----------
        path
            The file there.
        to
            A local path.
        """

    def remove_flag(self, name: str) -> None:
        """Delete one flag; one that is gone already is no error.

        Parameters
        ----------
        name
            Name of the flag, without its folder.
        """


def open_scope(settings: ScopeSettings) -> Scope:
    """Return the way to the scope that the config asks for.

    Parameters
    ----------
    settings
        Section ``transfer.scope``.

    Returns
    -------
    Scope
        A folder when there is no host, else ssh.
    """
    return Folder(settings) if settings.host is None else Ssh(settings, settings.host)


# ---------------------------------------------------------------------------------------------
# a local or mounted folder
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Folder:
    """Flags and images in folders of this computer."""

    settings: ScopeSettings

    def flag_names(self) -> list[str]:
        """List the flag folder."""
        try:
            return sorted(os.listdir(self.settings.keep_path))  # noqa: PTH208 - names, not paths
        except OSError as error:
            raise ScopeError(f"flag folder {self.settings.keep_path}: {error.strerror}") from error

    def sizes(self, paths: Sequence[str]) -> dict[str, int]:
        """Ask the file system."""
        return {path: Path(path).stat().st_size for path in paths if Path(path).is_file()}

    def dats(self, days: Iterable[str]) -> dict[str, int]:
        """List the day folders."""
        root = Path(self.settings.root_dat_path)
        found = [path for day in days for path in (root / day).glob("*.dat")]
        return {str(path): path.stat().st_size for path in found}

    def sha256(self, path: str) -> str:
        """Hash the file."""
        return sha256_of(Path(path))

    def fetch(self, path: str, to: Path) -> None:
        """Copy the bytes alone: the time of the copy is the time of arrival."""
        shutil.copyfile(path, to)

    def remove_flag(self, name: str) -> None:
        """Delete the flag."""
        Path(self.settings.keep_path, name).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a local file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    str
        Hexadecimal.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# ---------------------------------------------------------------------------------------------
# ssh
# ---------------------------------------------------------------------------------------------


def run(argv: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command of this computer; the seam where tests listen."""
    return subprocess.run(argv, input=stdin, capture_output=True, check=False)


Runner = Callable[[Sequence[str], bytes], "subprocess.CompletedProcess[bytes]"]


@dataclass(frozen=True)
class Ssh:
    """A scope reached over ssh; its shell is a POSIX one (Cygwin on the microscopes)."""

    settings: ScopeSettings
    host: str
    runner: Runner = run

    def flag_names(self) -> list[str]:
        """List the flag folder."""
        return self._shell(f"ls -1 {_quoted(self.settings.keep_path)}").splitlines()

    def sizes(self, paths: Sequence[str]) -> dict[str, int]:
        """Ask for all in one connection; paths go through stdin, whatever is in their names."""
        # files that are not there make stat complain and xargs end with 123
        return _sized(self._shell("xargs -0 -r stat -c '%s %n' -- 2>&1 || true", stdin=_nul(paths)))

    def dats(self, days: Iterable[str]) -> dict[str, int]:
        """List the day folders in one connection."""
        folders = [str(PurePosixPath(self.settings.root_dat_path, day)) for day in days]
        script = (
            'xargs -0 -r sh -c \'for d; do test -d "$d" && '
            'find "$d" -maxdepth 1 -type f -name "*.dat" -printf "%s %p\\n"; done; true\' sh'
        )
        return _sized(self._shell(script, stdin=_nul(folders)))

    def sha256(self, path: str) -> str:
        """Hash the file on the scope."""
        # by stdin: sha256sum marks unusual file names with a backslash
        return self._shell(f"sha256sum < {_quoted(path)}").split()[0]

    def fetch(self, path: str, to: Path) -> None:
        """Copy with scp or rsync."""
        self._run(self._rsync(path, to) if self.settings.method == "rsync" else self._scp(path, to))

    def remove_flag(self, name: str) -> None:
        """Delete the flag."""
        self._shell(f"rm -f {_quoted(str(PurePosixPath(self.settings.keep_path, name)))}")

    def _options(self) -> list[str]:
        options = [
            "BatchMode=yes",  # never ask for a password: nobody is there to answer
            f"ConnectTimeout={self.settings.connect_timeout_s}",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=2",
            f"StrictHostKeyChecking={'yes' if self.settings.host_key_checking else 'no'}",
            *([f"Port={self.settings.port}"] if self.settings.port else []),
            *self.settings.ssh_options,
        ]
        return [word for option in options for word in ("-o", option)]

    def _scp(self, path: str, to: Path) -> list[str]:
        # from 9.0 on scp speaks SFTP: no shell of the scope reads the path, but * ? [ are patterns;
        # before, the scope's shell does, and -T stops scp from comparing names with the quotes
        sftp = _openssh_version() >= SFTP_SINCE
        literal = re.sub(r"([\\*?\[\]])", r"\\\1", path) if sftp else _quoted(path)
        return ["scp", "-q", "-T", *self._options(), f"{self.host}:{literal}", str(to)]

    def _rsync(self, path: str, to: Path) -> list[str]:
        shell = shlex.join(["ssh", *self._options()])
        options = ["--protect-args", "--whole-file", "--timeout=60", "-e", shell]
        return ["rsync", *options, f"{self.host}:{path}", str(to)]

    def _shell(self, script: str, stdin: bytes = b"") -> str:
        argv = ["ssh", "-T", *self._options(), self.host, script]
        return self._run(argv, stdin).decode("utf-8", errors="surrogateescape")

    def _run(self, argv: Sequence[str], stdin: bytes = b"") -> bytes:
        try:
            done = self.runner(argv, stdin)
        except OSError as error:
            raise ScopeError(f"{argv[0]}: {error.strerror}: is it installed here?") from error
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines()
            why = "; ".join(words[-3:]) or "no message"
            raise ScopeError(f"{self.host}: {argv[0]} ended with {done.returncode}: {why}")
        return done.stdout


@cache
def _openssh_version() -> int:
    said = run(["ssh", "-V"]).stderr.decode(errors="replace")
    found = re.search(r"OpenSSH_(?:for_Windows_)?(\d+)", said)
    return int(found[1]) if found else SFTP_SINCE


def _quoted(path: str) -> str:
    return shlex.quote(path)


def _nul(paths: Iterable[str]) -> bytes:
    return b"".join(path.encode("utf-8", errors="surrogateescape") + b"\0" for path in paths)


def _sized(text: str) -> dict[str, int]:
    pairs = (line.split(" ", 1) for line in text.splitlines())
    return {pair[1]: int(pair[0]) for pair in pairs if len(pair) == 2 and pair[0].isdigit()}
