"""Every command that pages, comments and messages show is executed, in a clone, on a volume.

`WAYS` says how: as shown, with placeholders filled in, as a dry run, or not at all and why. A
command that no row covers fails.
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from scripts.lib import commands
from scripts.lib.files import read_table
from scripts.terminal import ending
from tests.transfer.test_volume_transfer_info import SAMPLE
from tests.workflow import prepared, shown

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]
LIMIT_S = 300
LOCAL = ["--profile", "profiles/local", "--configfile", "config/volumes/mine.yaml"]
DRY, PARSED, SHOWN_AS_IT_IS = "dry run", "parsed by make", "as shown"
# a cluster, another service, and what makes a stage again are planned only (-n)
PLANNED = r"--profile lsf|--forcerun|snakemake publish_issue\b"
PREVIEWED = "executed as typed by tests/workflow/test_preview.py, beside a transfer"
# the box that pages show lies behind the last layer of the small volume; both targets at once, for
# what was promoted is not exported again
BOXED = "snakemake region promote_region {local}"
BOXED += " --config export='{{box: {{z_px: [2, 5]}}, scale: 0.25}}'"
FINISHED = "executed as typed by tests/workflow/test_two_channels.py, on a volume with an archive"
NAMED = "no command: the name of a program, which is there"
SERVED = "timeout 3 python -m scripts.render_ws serve --port 0 --db {database}; test $? = 124"
COPIED = (
    "rm -f out/*.db* && python -m scripts.render_ws backup --db {database} --to out/copy.db"
    " && cp out/copy.db out/other.db"
    " && python -m scripts.render_ws restore --db out/other.db --from out/copy.db"
)
MOVED = (
    "rm -f out/moved.db*; python -m scripts.render_ws copy {database} out/moved.db"
    " --owner {owner} --project {project} --all"
)
FORTH = "python -m scripts.transfer.volume_transfer_info {info} --out out/yaml"
BACK = "python -m scripts.transfer.volume_transfer_info --reverse out/yaml/*.yaml --out out/json"
# pattern of the command -> how it is executed; the first that matches holds
WAYS = [
    # real runs in CI, or minutes and gigabytes: make itself says whether the target is there
    (r"make [a-z-]+( [A-Z]+=\S.*)?", PARSED),
    (r"snakemake", "no command: the name of the program"),
    (r"snakemake --lint", "what `make lint` runs"),
    (r"snakemake .*profiles/slurm.*", "needs a plugin that is no part of envs/lock.txt"),
    (r"snakemake --unlock --profile lsf.*", "as that of profiles/local, which is executed"),
    (r"snakemake correct .*inversion.*", "the example that tests/test_extending.py follows"),
    (r"snakemake (promote|cleanup_listing|cleanup) .*", FINISHED),
    (r"snakemake preview .*", PREVIEWED),
    (r"snakemake (promote_)?region .*", BOXED),
    (rf".*(?:{PLANNED}).*", DRY),
    (r"snakemake .*", SHOWN_AS_IT_IS),
    (
        r"python -m scripts\.demo\.acquire OUT .*",
        "python -m scripts.demo.acquire out/new --seed 0 --layers 4 --tile 64 96",
    ),
    (
        r"python -m scripts\.demo\.score WORK_DIR TRUTH\.json .*",
        "python -m scripts.demo.score {work} {truth}",
    ),
    (r"python -m scripts\.status .*", "python -m scripts.status {config} --html out/s.html"),
    (r"python -m scripts\.overview .*", "python -m scripts.overview {config} --out out/o.html"),
    (
        r"python -m scripts\.form FORM .*",
        "printf '### Scope host\\nnone\\n' > out/form.md; "
        "python -m scripts.form out/form.md --name form --out out/new; test $? = 1",
    ),
    (
        r"python -m scripts\.match\.by_hand .*",
        "python -m scripts.match.by_hand {config} {tile} {other} --out out/by_hand",
    ),
    (r"python -m scripts\.match\.posted_trial", "starts from a request on its standard input"),
    (r"python -m scripts\.new (DAT_ROOT|FOLDER).*", "python -m scripts.new {dats} --out out/new"),
    (r"python -m scripts\.render_ws serve( .*)?", SERVED),
    (r"python -m scripts\.render_ws (serve\|)?(backup|restore)\b.*", COPIED),
    (r"python -m scripts\.render_ws copy FROM TO .*", MOVED),
    (r"python -m scripts\.render_ws operations", SHOWN_AS_IT_IS),
    (r"python -m scripts\.lib\.made_by WORK_DIR --accept .*", "needs a run of other code"),
    (r"python -m scripts\.lib\.made_by WORK_DIR", "python -m scripts.lib.made_by {work}"),
    (
        r"python -m scripts\.review\.decide .*",
        "python -m scripts.review.decide config/volumes/mine.yaml --write",
    ),
    (r"python -m scripts\.transfer\.headers FILE.*", "python -m scripts.transfer.headers {h5}"),
    (
        r"python -m scripts\.transfer\.restore .*--check\]",
        "python -m scripts.transfer.restore {h5} out/dat --tile 0-0-1",
    ),
    (r"python -m scripts\.transfer\.restore .*", "python -m scripts.transfer.restore {h5} out/all"),
    (r"python -m scripts\.transfer\.volume_transfer_info --reverse .*", f"{FORTH} && {BACK}"),
    (r"python -m scripts\.transfer\.volume_transfer_info( .*)?", FORTH),
    (
        r"python -m scripts\.lib\.paste \S+.*",
        "cp {config} out/pasted.yaml; printf 'zcorr:\\n  accept_layers: [3]\\n' | "
        "python -m scripts.lib.paste out/pasted.yaml --write && grep accept_layers out/pasted.yaml",
    ),
    (r"python -m scripts\.lib\.yaml_files CONFIG", "python -m scripts.lib.yaml_files {config}"),
    (r"python -m scripts\.lib\.schema_doc", SHOWN_AS_IT_IS),
    (
        r"python -m scripts\.correct\.imported FILE\.json .*",
        'printf \'[{{"z": 1, "modelType": "none"}}]\' > out/shading.json;'
        " python -m scripts.correct.imported out/shading.json --pixel-nm 8",
    ),
    (r"python -m scripts\.[\w.]+", NAMED),
]
SHOWN = shown.shown()


def way(command):
    """How a command is executed; None when no row covers it."""
    return next((how for form, how in WAYS if re.fullmatch(form, command)), None)


def messages():
    """Commands that the code makes with `lib.commands`, for the run that `LOCAL` started."""
    commands.remember(LOCAL)
    made = set()
    for path in sorted(ROOT.glob("scripts/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in {"commands.run", "commands.again", "commands.module"}:
                words = [each.value for each in node.args if isinstance(each, ast.Constant)]
                if len(words) == len(node.args):
                    made.add(getattr(commands, name.removeprefix("commands."))(*words))
    return made


@pytest.fixture(scope="module")
def clone(history, acquisition, tmp_path_factory):
    """What git would give to somebody else, with the config of a finished volume in its place."""
    folder = tmp_path_factory.mktemp("clone")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if not (ROOT / name).is_dir() or (ROOT / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    config = yaml.safe_load(history.volume.config.read_text())
    config["export"]["promote_root"] = "finished"
    trial = {"pairs_per_run": 2, "sweep": {"method": ["block", "sift"]}}
    config["match"] = config.get("match", {}) | {"trial": trial}
    (folder / "finished").mkdir()
    for name in ("mine", "jrc_mine"):
        (folder / f"config/volumes/{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def line_of(clone, history, acquisition):
    """The line of the shell that executes a command in the clone; what is none begins with #."""
    work = history.volume.work
    render = yaml.safe_load(history.volume.config.read_text())["render"]
    info = clone / "out/volume_transfer_info.demo.json"
    info.parent.mkdir(exist_ok=True)
    info.write_text(json.dumps(SAMPLE))
    one, other = [row["tile_id"] for row in read_table(work / "review/tiles.tsv")][:2]
    values = {
        "work": work,
        "tile": one,
        "other": other,
        "truth": acquisition / "truth.json",
        "dats": acquisition,
        "database": work / "render-ws.db",
        "h5": min(work.glob("h5/raw/**/*.raw.h5")),
        "config": "config/volumes/mine.yaml",
        "info": info,
        "owner": render["owner"],
        "project": render["project"],
    }
    quoted = {key: shlex.quote(str(value)) for key, value in values.items()}
    quoted["local"] = shlex.join(LOCAL)

    def line(command):
        how = way(command)
        if how == SHOWN_AS_IT_IS:
            return command
        if how == NAMED:
            path = command.split()[-1].replace(".", "/")
            return f"test -e {path}.py || test -e {path}/__main__.py"
        if how in {DRY, PARSED}:
            return command if command.endswith(" -n") else f"{command} -n"
        done = re.match(r"snakemake .*--config|.*python -m", how)
        return how.format(**quoted) if done else f"# {how}"

    return line


@pytest.fixture(scope="module")
def run(clone):
    """Execute a line of the shell in the clone; give its code and what it said."""
    (clone / "out/bin").mkdir(parents=True)
    prepared.server().program(clone / "out/bin/snakemake")
    folders = [clone / "out/bin", Path(sys.executable).parent, os.environ["PATH"]]
    path = os.pathsep.join(map(str, folders))

    def execute(line):
        done = subprocess.run(
            ["bash", "-c", line], cwd=clone, env=os.environ | {"PATH": path}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        return done.returncode, f"$ {line}\n{done.stdout}"

    return execute


@pytest.fixture(scope="module")
def outcomes(run, line_of):
    """Command -> code and words; a line once, what locks the volume in turn, two of the others."""
    lines = {each: line_of(each) for each in sorted({*SHOWN, *messages()}) if way(each)}
    distinct = list(dict.fromkeys(lines.values()))
    locking = [each for each in distinct if re.match(r"snakemake (?!.*-n\b)", each)]
    others = [each for each in distinct if each not in locking]
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(others, pool.map(run, others), strict=True))
    found |= {each: run(each) for each in locking}
    return {each: found[line] for each, line in lines.items()}


def test_every_command_that_is_shown_has_a_way_to_be_executed():
    assert {each: files for each, files in SHOWN.items() if way(each) is None} == {}
    assert len(SHOWN) > 40
    assert len(messages()) > 5


@pytest.mark.parametrize("command", sorted(SHOWN))
def test_a_command_of_a_page_or_comment_works_as_typed(outcomes, command):
    code, said = outcomes[command]
    assert code == 0, f"{sorted(SHOWN[command])}\n{said}"


@pytest.mark.parametrize("command", sorted(messages()))
def test_a_command_of_a_message_works_as_typed(outcomes, command):
    code, said = outcomes[command]
    assert code == 0, said


def test_the_commands_that_runs_end_with_have_targets(run):
    _, said = run(f"snakemake --list-rules {shlex.join(LOCAL)}")
    targets = {*ending.MADE, *(following for _, following in ending.MADE.values())} - {""}
    assert targets <= set(said.split())


def test_no_text_names_a_snakemake_command_without_its_volume():
    """`snakemake match` alone would run the demo, or stop for want of --cores."""
    loose = re.compile(rf"\bsnakemake +(?:-|(?:{'|'.join(ending.MADE)})\b)")
    broken = []
    for path, text in shown.texts():
        for found in loose.finditer(text):
            rest = " ".join(text[found.start() : found.start() + 200].split())
            if not re.match(r"snakemake --lint\b|snakemake [^`]*--configfile ", rest):
                broken.append(f"{path}: {rest[:60]}")
    assert broken == []
