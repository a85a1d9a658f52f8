"""Provenance: which code and which libraries a result came through, as one digest.

An old result is kept when it would be made again as it is. Its inputs and settings are compared by
whoever keeps it; its code is compared here, once for all: the modules that its entry modules import
(also inside functions, and theirs in turn), and the versions of the numerical libraries that those
import. Modules count by their meaning, the syntax tree without comments, docstrings, annotations of
functions and lines of the log: to reword those makes nothing anew.

What cannot change a result is left out by name, each with its reason (`APART`). A module that is
imported by a computed name is no import that can be read: name it as an entry.

Each digest in use is recorded in ``provenance/`` of the working directory with a short digest for
each module, so that a log can say what changed. `scripts.lib.made_by` names the kinds of results,
lists those that other code made, and lets the code as it is now count as other code.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scripts.lib import files
from scripts.lib.job import UserError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "provenance"  # of the working directory
_ACCEPTED = "accepted.json"  # digest of the code as it was when accepted -> digest it counts as

# modules and packages that cannot change a result, and why
APART = {
    "scripts.lib.commands": "commands in messages",
    "scripts.lib.job": "log, and the end of a job",
    "scripts.lib.made_by": "names entry modules; what they come to is compared",
    "scripts.lib.pages": "pages and plots: for people to read",
    "scripts.lib.provenance": "compares; makes nothing",
    "scripts.lib.schema": "checks settings; their values are compared themselves",
    "scripts.lib.service.errors": "messages",
    "scripts.lib.service.match_client": "carries matches as they are",
    "scripts.lib.service.patience": "waits for the service",
    "scripts.lib.service.session": "carries requests; what is published is compared by its digest",
    "scripts.lib.service.transport": "carries requests",
    "scripts.lib.yaml_files": "reads settings; their values are compared themselves",
    "scripts.render_ws": "the service; at a site it is another program",
}
# import name of libraries that make numbers or files -> distributions that may provide it
LIBRARIES = {
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
    "deflate": ("deflate",),
    "h5py": ("h5py",),
    "isal": ("isal",),
    "mrcfile": ("mrcfile",),
    "numba": ("numba",),
    "numcodecs": ("numcodecs",),
    "numpy": ("numpy",),
    "ome_zarr_models": ("ome-zarr-models",),
    "PIL": ("pillow",),
    "scipy": ("scipy",),
    "skimage": ("scikit-image",),
    "tensorstore": ("tensorstore",),
    "tifffile": ("tifffile",),
    "zarr": ("zarr",),
    "zstandard": ("zstandard",),
}
_NO_MEANING = {"kind", "type_comment", "type_ignores", "ctx"}  # some differ between Pythons
_HINTS = {"arg": {"annotation"}, "FunctionDef": {"returns"}, "AsyncFunctionDef": {"returns"}}


@dataclass(frozen=True)
class Code:
    """The code that stands for a kind of result.

    Attributes
    ----------
    name
        Of the kind of result: a word or two, also a folder.
    entries
        Modules that it comes through, as ``scripts.match.stages``; what they import counts too.
    without
        Modules or packages that cannot change this kind of result, besides `APART`.
    shown
        The result is a page: modules and templates of ``lib/pages`` count.
    """

    name: str
    entries: tuple[str, ...]
    without: tuple[str, ...] = ()
    shown: bool = False

    def made(self) -> Made:
        """Return modules and libraries as they are now.

        Returns
        -------
        Made
            Read once in a process.
        """
        return made_through(self)

    def digest(self) -> str:
        """Return what tells results of this code from those of other code.

        Returns
        -------
        str
            16 hexadecimal digits; those of earlier code where its results were accepted.
        """
        now = self.made().digest
        return _accepted().get(now, now)

    def record(self) -> None:
        """Write what the digest stands for; results are to be had with it from now on."""
        made, path = self.made(), Path(FOLDER, self.name, f"{self.digest()}.json")
        if path.is_file():
            os.utime(path)  # the newest is the one in use
        elif path.stem == made.digest:
            files.write_json(path, asdict(made))

    def records(self) -> list[Made]:
        """Return what other digests on record stand for.

        Returns
        -------
        list of Made
            The last one used comes first.
        """
        return [_made(path) for path in self._paths() if path.stem != self.digest()]

    def behind(self) -> Made | None:
        """Return the code that results were last made by.

        Returns
        -------
        Made or None
            None when it is the code as it is now, or nothing is on record.
        """
        newest = next(iter(self._paths()), None)
        return None if newest is None or newest.stem == self.digest() else _made(newest)

    def other(self, digest: str) -> str:
        """Say why a result is made again that other code made.

        Parameters
        ----------
        digest
            Of the code that made it; empty where that is not known.

        Returns
        -------
        str
            What of the code changed, and how such results are kept.
        """
        found = [each for each in self.records() if each.digest == digest]
        if not found:
            return "made by other code, of which nothing is on record"
        words = f"made by other code ({differences(found[0], self.made())})"
        return f"{words}; to keep such results: {accepting(self.name, digest)}"

    def accept(self, digest: str) -> None:
        """Let the code as it is now count as that of a digest on record.

        Parameters
        ----------
        digest
            Of `records`.

        Raises
        ------
        UserError
            When it is not on record.
        """
        if digest not in {each.digest for each in self.records()}:
            known = ", ".join(each.digest for each in self.records()) or "none"
            raise UserError(
                f"{Path(FOLDER, self.name)}: found no record {digest}, expected one of: {known}"
            )
        files.write_json(Path(FOLDER, _ACCEPTED), _accepted() | {self.made().digest: digest})

    def _paths(self) -> list[Path]:
        found = Path(FOLDER, self.name).glob("*.json")
        return sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path.name))


@dataclass(frozen=True)
class Made:
    """What a result came through.

    Attributes
    ----------
    digest
        Of all the rest, 16 hexadecimal digits.
    modules
        Path of each module or template -> digest of its meaning, 12 hexadecimal digits.
    libraries
        Distribution -> version.
    """

    digest: str
    modules: Mapping[str, str]
    libraries: Mapping[str, str]


@cache
def made_through(code: Code, root: Path = ROOT) -> Made:
    """Read the modules that a kind of result comes through.

    Parameters
    ----------
    code
        Entry modules.
    root
        Folder that holds ``scripts``.

    Returns
    -------
    Made
        Equal for equal meaning, wherever the folder is and whatever Python reads it.

    Raises
    ------
    FileNotFoundError
        When there is no such entry module.
    """
    found: dict[str, str] = {}
    imported: set[str] = set()
    left = list(code.entries)
    while left:
        path = _path(left.pop(), root)
        if path is None:
            continue
        name = path.as_posix()
        if name not in found:
            digest, names = _read(root / path)
            found[name] = digest
            left += [each for each in names if not _apart(each, code)]
            imported |= {each.partition(".")[0] for each in names}
    _require(code, found)
    if code.shown:
        found |= _templates(root)
    modules = dict(sorted(found.items()))
    libraries = dict(_version(each) for each in sorted(imported & LIBRARIES.keys()))
    return Made(files.digest([modules, libraries])[:16], modules, libraries)


def differences(before: Made, now: Made) -> str:
    """Say what differs between two.

    Parameters
    ----------
    before, now
        Of the same kind of result.

    Returns
    -------
    str
        Modules that changed, came or went, and versions of libraries.
    """
    names = sorted(before.modules.keys() | now.modules.keys())
    changed = [each for each in names if before.modules.get(each) != now.modules.get(each)]
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    words = [f"{', '.join(changed[:5])}{more} changed"] if changed else []
    for each in sorted(before.libraries.keys() | now.libraries.keys()):
        old, new = before.libraries.get(each, "none"), now.libraries.get(each, "none")
        words += [f"{each} {old} -> {new}"] if old != new else []
    return "; ".join(words)


def meaning(syntax: ast.AST) -> str:
    """Return a text that is equal for equal meaning.

    Parameters
    ----------
    syntax
        A syntax tree.

    Returns
    -------
    str
        Types, fields and values of the nodes in order; the same of every Python.
    """
    out: list[str] = []
    _tell(syntax, out)
    return "\0".join(out)


def imports(syntax: ast.AST) -> Iterator[str]:
    """Find all modules that a file imports when it runs, in functions too.

    Parameters
    ----------
    syntax
        Of a file.

    Yields
    ------
    str
        ``scripts.lib.files``; of ``from a import b`` both ``a`` and ``a.b``.
    """
    if isinstance(syntax, ast.If) and ast.unparse(syntax.test).endswith("TYPE_CHECKING"):
        return
    if isinstance(syntax, ast.Import):
        yield from (each.name for each in syntax.names)
    elif isinstance(syntax, ast.ImportFrom):
        yield from (f"{syntax.module}.{each.name}" for each in syntax.names)
        yield str(syntax.module)
    elif not isinstance(syntax, ast.expr):  # an expression holds no import
        for node in ast.iter_child_nodes(syntax):
            yield from imports(node)


@cache
def _read(path: Path) -> tuple[str, list[str]]:
    """Digest of the meaning of a module, and what it imports."""
    syntax = ast.parse(path.read_bytes(), filename=str(path))
    return _short(meaning(syntax).encode()), list(imports(syntax))


def _tell(node: ast.AST, out: list[str]) -> None:
    kind = type(node).__name__
    out.append(f"({kind}")
    for name in sorted(node._fields):
        value = getattr(node, name, None)
        if value is None or name in _NO_MEANING or name in _HINTS.get(kind, ()):
            continue
        if isinstance(value, list):
            parts = _joined(value) if kind == "JoinedStr" else [v for v in value if _counts(v)]
            if not parts:
                continue  # a Python with a new field has an empty list there
            out.append(f"{name}:")
            for part in parts:
                _tell(part, out) if isinstance(part, ast.AST) else out.append(repr(part))
        else:
            out.append(f"{name}=")
            _tell(value, out) if isinstance(value, ast.AST) else out.append(repr(value))
    out.append(")")


def _counts(part: Any) -> bool:  # noqa: ANN401 - a node, a name or None
    """Tell whether an item of a list has a meaning: a docstring and a line of the log have none."""
    if isinstance(part, ast.If):
        return not ast.unparse(part.test).endswith("TYPE_CHECKING")
    if not isinstance(part, ast.Expr):
        return True
    value = part.value
    if isinstance(value, ast.Constant):
        return not isinstance(value.value, str)
    called = value.func if isinstance(value, ast.Call) else None
    owner = called.value if isinstance(called, ast.Attribute) else None
    return not (isinstance(owner, ast.Name) and owner.id == "log")


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Join neighbouring texts of an f-string: Pythons cut them differently."""
    out: list[ast.expr] = []
    for part in parts:
        last = out[-1] if out else None
        if isinstance(part, ast.Constant) and isinstance(last, ast.Constant):
            out[-1] = ast.Constant(str(last.value) + str(part.value))
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            out.append(part)
    return out


def _path(module: str, root: Path) -> Path | None:
    """Path of a module of the project, relative to the root."""
    parts = module.split(".")
    if parts[0] != "scripts":
        return None
    for path in (Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")):
        if (root / path).is_file():
            return path
    return None


def _apart(module: str, code: Code) -> bool:
    """Tell whether a module cannot change results of this kind."""
    apart = [each for each in APART if not (code.shown and each == "scripts.lib.pages")]
    return any(f"{module}.".startswith(f"{each}.") for each in (*apart, *code.without))


def _require(code: Code, found: Mapping[str, str]) -> None:
    for each in code.entries:
        if each.replace(".", "/") + ".py" not in found:
            raise FileNotFoundError(f"provenance of {code.name}: there is no module {each}")


def _templates(root: Path) -> dict[str, str]:
    folder = root / "scripts" / "lib" / "pages"
    found = [path for path in folder.iterdir() if path.suffix in (".j2", ".css", ".js")]
    return {path.relative_to(root).as_posix(): _short(path.read_bytes()) for path in found}


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


@cache
def _version(library: str) -> tuple[str, str]:
    for distribution in LIBRARIES[library]:
        try:
            return distribution, importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    # of other packagers, whose names of distributions are not known
    return library, str(getattr(importlib.import_module(library), "__version__", "unknown"))


def accepting(name: str, digest: str) -> str:
    """Return the command by which results of other code are kept.

    Parameters
    ----------
    name
        Of the kind of result.
    digest
        Of the other code.

    Returns
    -------
    str
        To be typed in the folder of the Snakefile.
    """
    folder = shlex.quote(str(Path.cwd()))
    return f"python -m scripts.lib.made_by {folder} --accept {name} {digest}"


def _accepted() -> dict[str, str]:
    path = Path(FOLDER, _ACCEPTED)
    return dict(files.read_json(path)) if path.is_file() else {}


def _made(path: Path) -> Made:
    return Made(**files.read_json(path))
