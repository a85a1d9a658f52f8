"""The laws of the layout, read from the source: who may import whom, and what a job looks like.

Imports go down only (docs/design.md):

Snakefile, rules/*.smk         name scripts by path
scripts/*.py                   commands a person types: a line that calls one function of a stage
scripts/<stage>/               lib and their own folder
scripts/lib/service/*client    the client: stages alone may import it
scripts/lib/service/session    speaks HTTP and, for the embedded transport, imports render_ws
scripts/render_ws/             lib without client and session
scripts/lib/<floor>/           their own floor and the floors below it, in the order of FLOORS
scripts/lib/*.py               the ground floor: each other
"""

import ast
import functools
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(ROOT.glob("scripts/**/*.py"))
RULES = [*sorted(ROOT.glob("rules/*.smk")), ROOT / "Snakefile"]
STAGES = {"transfer", "ingest", "match", "review", "solve", "zcorr", "correct", "export", "report"}
TARGETS = STAGES | {
    "all",
    "preview",
    "region",
    "stacks",
    "tiff",
    "promote",
    "promote_region",
    "cleanup_listing",
    "cleanup",
    "doctor",
    "estimate",
}  # no job
# the floors of lib from the ground up; modules of scripts/lib itself are the ground floor
FLOORS = ["", "numerics", "service", "drawing", "volumes", "pages"]
SESSION = ("lib", "service", "session")
# the client and its parts: of no use to the floors above it and to the service
CLIENT = {SESSION} | {
    ("lib", "service", f"{each}client") for each in ("", "stack_", "match_", "source_")
}
# Roots of real file systems; "/0-0-1/mipmap.0" (HDF5) and "/v1/owner" (routes) are no such paths.
MACHINE_PATH = re.compile(
    r"^/(home|users|groups|nrs|nearline|misc|scratch|mnt|media|data|tmp|var|usr|opt|etc|root|srv|work)\b",
    re.IGNORECASE,
)
DOTTED_QUAD = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
HOST = re.compile(r"https?://([A-Za-z0-9.-]+)")
# names that are no machine of a site: loopback, vocabularies, the public viewer
PUBLIC_HOSTS = {
    "api.github.com",
    "127.0.0.1",
    "localhost",
    "host",
    "embedded",
    "json-schema.org",
    "www.w3.org",
}
PUBLIC_HOSTS |= {
    "api.github.com",
    "neuroglancer-demo.appspot.com",
    "doi.org",
    "ngff.openmicroscopy.org",
}
LOOPBACK = "127.0.0.1"

MAX_FILE = 500
MAX_FUNCTION = 60
MAX_MEDIAN = 12
MAX_MAIN = 25
MAX_COMMON = 100


def name(path):
    return path.relative_to(ROOT).as_posix()


def module(path):
    return name(path).removesuffix(".py").replace("/", ".")


@functools.cache
def tree(path):
    return ast.parse(path.read_text(), filename=str(path))


def imports(syntax):
    """All modules a file imports; `from scripts.lib import x` counts as scripts.lib.x too."""
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module
            yield from (f"{node.module}.{each.name}" for each in node.names)


def ours(target):
    """scripts.lib.drawing.warp -> ("lib", "drawing", "warp"); None for what is not ours."""
    parts = target.split(".")
    while len(parts) > 2:
        path = ROOT.joinpath(*parts)
        if path.with_suffix(".py").is_file():
            return tuple(parts[1:])
        parts = parts[:-1]
    return None


def floor(where):
    """Number of the floor of a module of lib: 0 is the ground."""
    return FLOORS.index(where[1] if len(where) > 2 else "")


def may_import(importer, target):
    """Tell whether module `importer` may import `target`; both like ("lib", "files")."""
    if target in CLIENT and importer not in CLIENT and importer[0] in ("lib", "render_ws"):
        return False
    if importer == SESSION and target[0] == "render_ws":
        return True
    if importer[0] == "lib":
        return target[0] == "lib" and floor(target) <= floor(importer)
    if len(importer) == 1:
        return True
    return target[0] in ("lib", importer[0])


def broken_imports(path, syntax):
    importer = tuple(module(path).split(".")[1:])
    found = {ours(target) for target in imports(syntax)} - {None}
    return sorted(
        f"{name(path)} must not import scripts.{'.'.join(target)}"
        for target in found
        if not may_import(importer, target)
    )


def functions(syntax):
    for node in ast.walk(syntax):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function):
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def docstrings(syntax):
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(syntax):
        if isinstance(node, kinds) and ast.get_docstring(node):
            yield id(node.body[0].value)


def texts(syntax):
    """Text constants of the code, docstrings left out, with their lines."""
    skip = set(docstrings(syntax))
    for node in ast.walk(syntax):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skip:
            yield node.lineno, node.value


def main_block(syntax):
    """The `if __name__ == "__main__":` statement of a file, or None."""
    for node in syntax.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            return node
    return None


def rules():
    """(rule file, rule name, script path or None) of every rule and checkpoint."""
    for path in RULES:
        text = path.read_text()
        parts = re.split(r"^(?:rule|checkpoint) (\w+):$", text, flags=re.MULTILINE)
        for rule, body in zip(parts[1::2], parts[2::2], strict=True):
            script = re.search(r'^    script:\s*"([^"]+)"', body, re.MULTILINE)
            yield path, rule, script and (path.parent / script[1]).resolve()


JOBS = [(rule, script) for _, rule, script in rules() if script is not None]
EACH_SCRIPT = pytest.mark.parametrize("path", SCRIPTS, ids=name)


def sources():
    return [(path, tree(path)) for path in SCRIPTS]


def test_imports_go_down_only():
    broken = [line for path, syntax in sources() for line in broken_imports(path, syntax)]
    assert broken == [], "docs/design.md: imports go down only\n" + "\n".join(broken)


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("ingest/number_layers", "from scripts.solve.system import build"),
        ("ingest/number_layers", "from scripts.solve import system"),
        ("report/make_report", "import scripts.render_ws.store"),
        ("render_ws/app", "from scripts.lib.service.client import RenderClient"),
        ("render_ws/app", "from scripts.lib.service import client"),
        ("lib/files", "from scripts.lib.service.records import TileSpec"),
        ("lib/drawing/pixels", "from scripts.lib.service.client import RenderClient"),
        ("lib/drawing/compose", "from scripts.render_ws.images import box_image"),
        ("lib/drawing/kernels", "from scripts.lib.volumes.blocks import pack"),
        ("lib/service/client", "from scripts.match.sift import detect"),
        ("lib/service/client", "from scripts.render_ws.app import create_app"),
        ("lib/service/records", "from scripts.lib.service.session import Session"),
    ],
)
def test_a_planted_import_upwards_is_found(importer, line):
    (found,) = broken_imports(ROOT / f"scripts/{importer}.py", ast.parse(line))
    assert found.startswith(f"scripts/{importer}.py must not import scripts.")


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("ingest/number_layers", "from scripts.ingest.layers import number"),
        ("new", "from scripts.transfer.new_volume import main"),
        ("report/make_report", "from scripts.lib.truth import score"),
        ("render_ws/app", "from scripts.render_ws.store import Store"),
        ("render_ws/images", "from scripts.lib.drawing.compose import render"),
        ("lib/service/session", "from scripts.render_ws.app import create_app"),
        ("lib/service/client", "from scripts.lib.service.stack_client import StackClient"),
        ("lib/geometry", "import numpy"),
    ],
)
def test_an_allowed_import_is_allowed(importer, line):
    assert broken_imports(ROOT / f"scripts/{importer}.py", ast.parse(line)) == []


def test_lib_modules_do_not_import_each_other_in_circles():
    libs = {tuple(module(p).split(".")[1:]): p for p in SCRIPTS if module(p).split(".")[1] == "lib"}
    graph = {
        where: {ours(each) for each in imports(tree(path))} & (libs.keys() - {where})
        for where, path in libs.items()
    }
    while graph:
        free = {where for where, needs in graph.items() if not needs & graph.keys()}
        assert free, f"import circle among {sorted(graph)}"
        graph = {where: needs for where, needs in graph.items() if where not in free}


def test_every_folder_is_a_stage_or_a_floor():
    inside = {path.parent.relative_to(ROOT / "scripts").as_posix() for path in SCRIPTS}
    floors = {f"lib/{each}".rstrip("/") for each in FLOORS}
    assert inside <= STAGES | floors | {".", "render_ws", "demo", "terminal"}


def test_a_command_of_the_top_only_calls_a_stage():
    for path in ROOT.glob("scripts/*.py"):
        assert list(functions(tree(path))) == [], f"{name(path)}: the work is a stage's"
        assert main_block(tree(path)), f"{name(path)}: is called as python -m"


def test_no_relative_imports():
    broken = [
        f"{name(path)}:{node.lineno}"
        for path, syntax in sources()
        for node in ast.walk(syntax)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert broken == [], "a script runs as a temporary copy: relative imports fail there"


# copies between services as they are, whatever the client makes of them
SPEAK_HTTP = {
    "scripts/lib/service/session.py",
    "scripts/lib/service/transport.py",
    "scripts/render_ws/copying.py",
}


def test_only_the_session_speaks_http():
    broken = [
        name(path)
        for path, syntax in sources()
        if "requests" in {target.split(".")[0] for target in imports(syntax)}
        and name(path) not in SPEAK_HTTP
    ]
    assert broken == [], "use scripts.lib.service.client.RenderClient"


def test_snakemake_config_is_read_by_no_script():
    broken = [
        name(path)
        for path, syntax in sources()
        if "snakemake.config"
        in {ast.unparse(n) for n in ast.walk(syntax) if isinstance(n, ast.Attribute)}
    ]
    assert broken == [], "pass the section as params: Snakemake then knows what to re-run"


def test_snakemake_is_named_only_in_the_main_block():
    broken = []
    for path, syntax in sources():
        block = main_block(syntax)
        inside = {id(node) for node in ast.walk(block)} if block else set()
        # the context manager of jobs takes it as an argument
        nodes = [] if name(path) == "scripts/lib/job.py" else ast.walk(syntax)
        for node in nodes:
            if isinstance(node, ast.Name) and node.id == "snakemake" and id(node) not in inside:
                broken.append(f"{name(path)}:{node.lineno}")
    assert broken == []


def test_no_machine_path_and_no_host_in_the_code():
    broken = []
    for path, syntax in sources():
        for line, text in texts(syntax):
            where = f"{name(path)}:{line}: {text[:60]!r}"
            quads = [each for each in DOTTED_QUAD.findall(text) if each != LOOPBACK]
            hosts = [each for each in HOST.findall(text) if each not in PUBLIC_HOSTS]
            if MACHINE_PATH.search(text) or quads or hosts:
                broken.append(where)
    assert broken == [], "paths and hosts belong in the config of the volume\n" + "\n".join(broken)


def test_no_machine_path_and_no_host_in_rules_profiles_and_configs():
    broken = []
    for pattern in ("Snakefile", "rules/*.smk", "profiles/*/*.yaml", "config/**/*.yaml"):
        for path in ROOT.glob(pattern):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                code = line.partition("#")[0]
                words = re.findall(r"[^\s\"'=,\[\]{}]+", code)
                quads = [each for each in DOTTED_QUAD.findall(code) if each != LOOPBACK]
                hosts = [each for each in HOST.findall(code) if each not in PUBLIC_HOSTS]
                if quads or hosts or any(MACHINE_PATH.search(word) for word in words):
                    broken.append(f"{name(path)}:{number}: {line.strip()}")
    assert broken == []


@pytest.mark.parametrize(("rule", "script"), JOBS, ids=[rule for rule, _ in JOBS])
class TestJob:
    def test_script_exists_and_has_the_name_of_its_rule(self, rule, script):
        assert script.is_file(), f"rule {rule}: no {name(script)}"
        assert script.stem == rule

    def test_main_is_short_and_takes_every_argument_by_name(self, rule, script):
        (main,) = [each for each in functions(tree(script)) if each.name == "main"]
        assert length(main) <= MAX_MAIN
        assert not main.args.args, f"{name(script)}: main(*, ...)"
        assert main.args.kwonlyargs

    def test_main_block_holds_one_call_inside_job(self, rule, script):
        block = main_block(tree(script))
        assert block, f'{name(script)}: no `if __name__ == "__main__":`'
        (statement,) = block.body
        assert isinstance(statement, ast.With)
        assert ast.unparse(statement.items[0].context_expr) == "job(snakemake)"
        (call,) = statement.body
        assert isinstance(call, ast.Expr)
        assert isinstance(call.value, ast.Call)
        assert call.value.func.id == "main"
        assert not call.value.args, "every argument by name"

    def test_docstring_tells_what_the_job_does(self, rule, script):
        assert ast.get_docstring(tree(script)), f"{name(script)}: no docstring"


def test_every_rule_has_a_script_or_is_a_target():
    for path, rule, script in rules():
        assert script or rule in TARGETS, f"{name(path)}: rule {rule} has no script"


@pytest.mark.parametrize("path", RULES, ids=name)
def test_rule_files_hold_no_run_block_and_no_message(path):
    assert not re.search(r"^    (run|message|retries):", path.read_text(), re.MULTILINE)


@pytest.mark.skipif(not (ROOT / "rules/common.smk").exists(), reason="no rules/common.smk yet")
def test_common_rules_are_short():
    assert len((ROOT / "rules/common.smk").read_text().splitlines()) <= MAX_COMMON


@EACH_SCRIPT
def test_file_has_a_docstring_and_is_not_long(path):
    assert ast.get_docstring(tree(path)), f"{name(path)}: say what it is for"
    assert len(path.read_text().splitlines()) < MAX_FILE


def test_functions_are_short():
    sizes = {
        f"{name(path)}:{each.lineno} {each.name}": length(each)
        for path, syntax in sources()
        for each in functions(syntax)
    }
    assert {where: size for where, size in sizes.items() if size > MAX_FUNCTION} == {}
    assert statistics.median(sizes.values()) <= MAX_MEDIAN


def test_test_files_have_names_of_their_own():
    """Two of one name in different folders: pytest imports the first and refuses the other."""
    names = [path.name for path in ROOT.glob("tests/**/test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
