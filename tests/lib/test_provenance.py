"""Which code a result came through: what changes the digest, and what must not."""

import ast
import functools
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.lib import made_by, provenance
from scripts.lib.job import UserError
from scripts.lib.provenance import Code, Made, differences
from tests.lib.other_code import other_code

ROOT = Path(__file__).resolve().parents[2]
BLOCK = "scripts/match/block.py"
# libraries that make no numbers: what they do is carry, check, draw pages or serve
CARRIERS = {
    *("bokeh", "flask", "jinja2", "jsonschema", "markupsafe", "msgspec", "orjson", "psutil"),
    *(
        "pydantic_zarr",
        "requests",
        "snakemake",
        "urllib3",
        "waitress",
        "werkzeug",
        "yaml",
        "threadpoolctl",
    ),
}
SOURCE = '''"""What it is."""
import numpy as np
# why
def mean(values: list, weight: float = 1.0) -> float:
    """Return it."""
    log.info("%d values", len(values))
    return weight * np.mean(values), f"{weight:.1f} of {values}"
'''


def meaning(text):
    return provenance.meaning(ast.parse(text))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("# why", "# for another reason\n\n"),
        ("What it is.", "What it was."),
        ('    """Return it."""\n', ""),
        ("    log.info", "    log.warning"),
        ("-> float", "-> np.float64"),
        ("values: list", "values: tuple"),
        ("weight * np.mean(values), f", "(weight * np.mean(values)), f"),
    ],
)
def test_words_and_form_have_no_meaning(before, now):
    assert before in SOURCE
    assert meaning(SOURCE.replace(before, now)) == meaning(SOURCE)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("= 1.0", "= 1.5"),
        ("= 1.0", "= 1"),
        ("np.mean", "np.median"),
        ("weight *", "weight +"),
        (":.1f", ":.2f"),
        (" of ", " off "),
        ("values: list, weight: float = 1.0", "weight: float, values: list = 1.0"),
        ("import numpy as np", "import cupy as np"),
    ],
)
def test_what_is_computed_has(before, now):
    assert before in SOURCE
    assert meaning(SOURCE.replace(before, now)) != meaning(SOURCE)


def test_the_form_is_that_of_every_python():
    # 3.12 gave functions a list of type parameters, 3.13 leaves empty fields out
    later = ast.parse("def f(x): return x")
    later.body[0].type_params = []
    later.body[0].__class__ = type(
        "FunctionDef", (ast.FunctionDef,), {"_fields": (*ast.FunctionDef._fields, "type_params")}
    )
    assert provenance.meaning(later) == meaning("def f(x): return x")
    # and an f-string is cut into other pieces
    whole, cut = ast.parse("f'ab{x}'"), ast.parse("f'ab{x}'")
    values = cut.body[0].value.values
    values[:1] = [ast.Constant("a"), ast.Constant(""), ast.Constant("b", kind="u")]
    assert provenance.meaning(ast.parse("y = f'ab{x}'")) != provenance.meaning(whole)
    assert provenance.meaning(cut) == provenance.meaning(whole)


DIGESTS = """
import ast, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from scripts.lib import provenance
root = pathlib.Path(sys.argv[1])
paths = sorted(root.glob("scripts/lib/**/*.py"))
print(json.dumps({str(path.relative_to(root)): provenance._read(path) for path in paths}))
"""


def digests_elsewhere(python, root):
    run = subprocess.run(
        [python, "-c", DIGESTS, str(root)],
        env=os.environ | {"PYTHONHASHSEED": "1"},
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(run.stdout)


def digests_here():
    paths = sorted(ROOT.glob("scripts/lib/**/*.py"))
    return {str(path.relative_to(ROOT)): list(provenance._read(path)) for path in paths}


def test_another_process_and_another_folder_give_the_same(tmp_path):
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=compiled)
    assert digests_elsewhere(sys.executable, tmp_path) == digests_here()


def other_pythons():
    """Each Python of another version that runs here."""
    for version in ("3.11", "3.12", "3.13", "3.14"):
        found = shutil.which(f"python{version}")
        if (
            found
            and subprocess.run([found, "-V"], capture_output=True, check=False).returncode == 0
        ):
            yield found


def test_another_python_gives_the_same():
    found = list(other_pythons())
    if not found:
        pytest.skip("there is no other Python here")
    here = digests_here()
    for python in found:
        assert digests_elsewhere(python, ROOT) == here, python


@pytest.fixture
def tree(tmp_path):
    """A small project: a job that imports in all ways."""

    def write(module, text):
        path = tmp_path / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write(
        "scripts.a.entry",
        "from typing import TYPE_CHECKING\nfrom scripts.a import near\nimport scripts.lib.plain\n"
        "if TYPE_CHECKING:\n    from scripts.a import hints\n"
        "def late():\n    if near:\n        from scripts.lib.late import thing\n"
        "        import scipy.ndimage\n",
    )
    write("scripts.a.near", "import numpy\nfrom scripts.lib.job import job")
    write("scripts.a.hints", "")
    write("scripts.lib.plain", "from scripts.a import entry  # a circle ends")
    write("scripts.lib.late", "thing = 1")
    write("scripts.lib.job", "import cv2")
    write("scripts.lib.unused", "import zarr")
    return tmp_path, write


def made(root, **more):
    provenance._read.cache_clear()
    provenance.made_through.cache_clear()
    return provenance.made_through(Code("x", ("scripts.a.entry",), **more), root)


def test_all_that_is_imported_counts_and_nothing_else(tree):
    root, _ = tree
    found = made(root)
    assert list(found.modules) == [
        f"scripts/{each}.py" for each in ("a/entry", "a/near", "lib/late", "lib/plain")
    ]
    assert list(found.libraries) == ["numpy", "scipy"]
    assert "scripts/lib/late.py" not in made(root, without=("scripts.lib.late",)).modules
    with pytest.raises(FileNotFoundError, match=r"no module scripts\.a\.gone"):
        provenance.made_through(Code("x", ("scripts.a.gone",)), root)


def test_a_changed_import_of_an_import_changes_the_digest_and_is_named(tree):
    root, write = tree
    before = made(root)
    write("scripts.lib.late", "thing = 1  # the same")
    assert made(root) == before
    write("scripts.lib.unused", "import h5py")
    assert made(root) == before
    write("scripts.lib.late", "thing = 2")
    now = made(root)
    assert now.digest != before.digest
    assert differences(before, now) == "scripts/lib/late.py changed"


def test_another_version_of_a_library_changes_the_digest_and_is_named(tree, monkeypatch):
    root, _ = tree
    before = made(root)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "99.1" if name == "numpy" else real(name)
    )
    provenance._version.cache_clear()
    now = made(root)
    provenance._version.cache_clear()
    assert now.digest != before.digest
    assert differences(before, now) == f"numpy {real('numpy')} -> 99.1"


def test_many_changes_are_named_in_one_line():
    before = Made("a", {f"m{i}.py": "1" for i in range(8)}, {"numpy": "1", "scipy": "1"})
    now = Made("b", {f"m{i}.py": "2" for i in range(7)}, {"numpy": "2"})
    assert differences(before, now) == (
        "m0.py, m1.py, m2.py, m3.py, m4.py and 3 more changed; numpy 1 -> 2; scipy 1 -> none"
    )


@functools.cache
def imported():
    """What each file imports, by its first name."""
    return [
        (path, {each.partition(".")[0] for each in provenance.imports(ast.parse(path.read_text()))})
        for path in sorted(ROOT.glob("scripts/**/*.py"))
    ]


def test_every_library_is_known_to_make_numbers_or_not():
    found = set().union(*(names for _, names in imported())) - {"scripts"}
    unknown = found - sys.stdlib_module_names - provenance.LIBRARIES.keys() - CARRIERS
    assert unknown == set(), "add it to LIBRARIES, or to CARRIERS above"


def test_imports_by_a_computed_name_are_known():
    # importlib.metadata alone imports nothing
    users = {
        path.relative_to(ROOT).as_posix()
        for path, names in imported()
        if "importlib" in names and "import_module" in path.read_text()
    }
    assert users == {"scripts/correct/chain.py", "scripts/lib/provenance.py"}, (
        "such an import is not followed: name the modules as entries in scripts/lib/made_by.py"
    )


def test_what_is_left_out_is_there_and_the_rest_is_found():
    left_out = {
        *provenance.APART,
        *(each for code in made_by.KINDS.values() for each in code.without),
    }
    for each in left_out:
        path = ROOT / each.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), f"no module {each}"
    for code in made_by.KINDS.values():
        assert code.made().modules
    assert {BLOCK, "scripts/match/sift.py"} <= made_by.matched("another").made().modules.keys()
    assert "scripts/match/block.py" not in made_by.MATCHED["sift"].made().modules
    assert "scripts/match/sift.py" not in made_by.MATCHED["block"].made().modules
    assert "scripts/lib/drawing/warp.py" in made_by.MATCHED["sift"].made().modules
    assert "scripts/ingest/specs.py" in made_by.ACQUIRED.made().modules


def test_other_code_is_told_and_kept_when_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = made_by.MATCHED["block"]
    first = code.digest()
    code.record()
    made_by.main(["."])
    assert capsys.readouterr().out == "Nothing on record here was made by other code.\n"
    with other_code(BLOCK):
        assert code.digest() != first
        why = code.other(first)
        assert why.startswith(f"made by other code ({BLOCK} changed); to keep such results: python")
        made_by.main(["."])
        told = capsys.readouterr().out
        assert f"pairs_block: made by other code ({BLOCK} changed)" in told
        command = why.partition("made_by ")[2].split()
        assert " ".join(command) in told
        made_by.main(command)
        assert code.digest() == first
        assert capsys.readouterr().out == "Nothing on record here was made by other code.\n"
        code.record()
    with other_code(BLOCK, "scripts/match/levels.py"):
        assert code.digest() != first, "only the code that was looked at is accepted"
    assert [path.stem for path in Path("provenance/pairs_block").iterdir()] == [first]


def test_what_is_not_on_record_cannot_be_accepted(tmp_path, capsys):
    with pytest.raises(SystemExit):
        made_by.main([str(tmp_path), "--accept", "slabs", "0123"])
    assert "found no record 0123, expected one of: none" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        made_by.main([str(tmp_path), "--accept", "slices", "0123"])
    assert "found kind 'slices', expected one of: header_cache" in capsys.readouterr().err


def test_nobody_knows_the_code_of_results_without_a_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert made_by.SLABS.other("") == "made by other code, of which nothing is on record"
    with pytest.raises(UserError, match="no record"):
        made_by.SLABS.accept("0123")
