import fcntl
import subprocess
from pathlib import Path

import pytest

from scripts.lib.files import write_json, write_table
from scripts.lib.job import UserError
from scripts.lib.names import parse_dat
from scripts.transfer import space, state, visits
from scripts.transfer.copying import COPIED_COLUMNS, Rules
from scripts.transfer.layers import Limits
from scripts.transfer.scope import Folder, ScopeError, ScopeSettings, Ssh
from tests.transfer.scopes import DATA_SET, Microscope, dat_bytes, dat_name


@pytest.fixture
def scope(tmp_path):
    return Microscope(tmp_path / "scope")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "dat"


def visit(scope, root, *, before=(), here=None, limits=None, rules=None, **settings):
    return visits.visit(
        scope.settings(**settings),
        Limits.of(limits or {}),
        Rules(root, **(rules or {})),
        here=state.known_dats(root, work_dir=root.parent) if here is None else here,
        before=before,
    )


def copied(root):
    return {path.name: path.read_bytes() for path in root.rglob("*.dat")}


def acquire(scope, count, **how):
    names = [dat_name(i) for i in range(count)]
    for i, name in enumerate(names):
        scope.acquire(name, dat_bytes(i), **how)
    return names


def states(done):
    return {row["dat"]: row["status"] for row in done.rows}


@pytest.mark.parametrize("digest", ["none", "sha256"])
def test_flagged_files_are_copied_into_hour_folders_and_their_flags_removed(scope, root, digest):
    names = acquire(scope, 3)
    done = visit(scope, root, rules={"hashed": digest == "sha256"})
    assert copied(root) == {name: dat_bytes(i) for i, name in enumerate(names)}
    assert (root / "2024/03/07/10" / names[0]).exists()
    assert scope.waiting() == []
    assert set(states(done).values()) == {"copied"}
    assert all(bool(row["sha256"]) == (digest == "sha256") for row in done.rows)
    assert scope.path(names[0]).exists()  # the scope's own files are never touched


def test_flags_of_other_data_sets_and_out_of_range_stay(scope, root):
    names = acquire(scope, 5)
    foreign = scope.flags / scope.flag(names[2]).name.replace(DATA_SET, "other")
    foreign.touch()
    visit(scope, root, limits={"first_dat": names[1], "last_dat": names[3]})
    assert sorted(copied(root)) == names[1:4]
    assert scope.waiting() == sorted([scope.flag(n).name for n in (names[0], names[4])]
                                     + [foreign.name])  # fmt: skip


def test_of_ten_files_those_without_a_flag_before_the_last_flag_are_missing(scope):
    # section 12, check 7: five layers of two tiles, flags for positions 5-7, 9 and 10
    names = [dat_name(i // 2, f"0-0-{i % 2}") for i in range(10)]
    for i, name in enumerate(names):
        scope.acquire(name, dat_bytes(i), flagged=i + 1 in (5, 6, 7, 9, 10))
    limits = Limits.of({"first_dat": names[0]})
    tasks = visits.copy_tasks(Folder(scope.settings()), scope.settings(), limits, {})
    missing = [task.dat_name for task in tasks if task.flag is None]
    assert missing == [names[i] for i in (0, 1, 2, 3, 7)]
    assert len(tasks) == 10


def test_a_file_without_a_flag_after_the_last_flag_is_still_being_written(scope, root):
    names = acquire(scope, 2)
    scope.acquire(dat_name(2), dat_bytes(2), flagged=False)
    visit(scope, root)
    assert sorted(copied(root)) == names


def test_when_imaging_is_over_everything_up_to_the_last_dat_is_fetched(scope, root):
    names = acquire(scope, 3, flagged=False)
    done = visit(scope, root, limits={"first_dat": names[0], "last_dat": names[-1]})
    assert sorted(copied(root)) == names
    assert done.complete


def test_what_is_here_or_in_hdf5_is_not_fetched_again(scope, root):
    names = acquire(scope, 3, flagged=False)
    here = {name: scope.path(name).stat().st_size for name in names[:2]}
    visit(scope, root, here=here, limits={"last_dat": names[-1]})
    assert sorted(copied(root)) == names[2:]


def test_a_flag_without_a_file_is_named_and_the_others_are_copied(scope, root):
    names = acquire(scope, 3)
    scope.path(names[1]).unlink()
    done = visit(scope, root)
    assert sorted(copied(root)) == [names[0], names[2]]
    assert states(done)[names[1]] == "failed"
    assert "a flag without a file" in done.rows[1]["reason"]
    assert scope.waiting() == [scope.flag(names[1]).name]


def test_a_flag_whose_file_is_here_and_purged_there_is_acknowledged(scope, root):
    (name,) = acquire(scope, 1)
    visit(scope, root)
    scope.flag(name).touch()
    scope.path(name).unlink()
    visit(scope, root)
    assert scope.waiting() == []


@pytest.mark.parametrize("data", [dat_bytes(0)[:1100], b"", b"oops" + dat_bytes(0)[4:]])
def test_a_broken_file_waits_one_run_and_is_then_taken_as_it_is(scope, root, data):
    name = dat_name(0)
    scope.acquire(name, data)
    first = visit(scope, root)
    assert states(first) == {name: "failed"}
    assert copied(root) == {}
    assert scope.flag(name).exists()
    second = visit(scope, root, before=first.rows)
    assert states(second) == {name: "broken"}
    assert copied(root) == {name: data}
    assert scope.waiting() == []


def test_a_file_that_was_still_growing_is_whole_in_the_next_run(scope, root):
    name = dat_name(0)
    scope.acquire(name, dat_bytes(0)[:1100])
    first = visit(scope, root)
    scope.path(name).write_bytes(dat_bytes(0))
    assert states(visit(scope, root, before=first.rows)) == {name: "copied"}
    assert copied(root) == {name: dat_bytes(0)}


def test_a_file_that_grows_from_run_to_run_is_never_taken_as_broken(scope, root):
    name, before = dat_name(0), ()
    for size in (1100, 1150, 1200):
        scope.acquire(name, dat_bytes(0)[:size])
        done = visit(scope, root, before=before)
        assert states(done) == {name: "failed"}
        assert copied(root) == {}
        assert scope.flag(name).exists()
        before = done.rows


def test_a_broken_file_here_is_not_replaced_by_another_broken_one(scope, root):
    name = dat_name(0)
    scope.acquire(name, dat_bytes(0)[:1100])
    visit(scope, root, before=visit(scope, root).rows)
    scope.acquire(name, dat_bytes(1)[:1200])
    done = visit(scope, root, before=visit(scope, root).rows)
    assert states(done) == {name: "failed"}
    assert "both are kept" in done.rows[0]["reason"]
    assert copied(root) == {name: dat_bytes(0)[:1100]}
    assert scope.flag(name).exists()


def test_other_bytes_under_a_known_name_are_kept_apart_and_named(scope, root):
    (name,) = acquire(scope, 1)
    visit(scope, root)
    scope.acquire(name, dat_bytes(77))
    done = visit(scope, root)
    assert copied(root) == {name: dat_bytes(0)}
    assert scope.path(name).read_bytes() == dat_bytes(77)
    assert scope.flag(name).exists()
    assert "both are kept" in done.rows[0]["reason"]


def test_a_cut_copy_here_is_replaced_by_the_whole_file(scope, root):
    (name,) = acquire(scope, 1)
    visit(scope, root)
    next(root.rglob(name)).write_bytes(dat_bytes(0)[:1050])
    visit(scope, root, limits={"last_dat": name})
    assert copied(root) == {name: dat_bytes(0)}


def test_a_copy_that_comes_out_shorter_or_altered_is_refused(scope, root, monkeypatch):
    (name,) = acquire(scope, 1)
    for data, words in ((dat_bytes(0)[:-1], "fetched"), (dat_bytes(1), "SHA-256")):
        monkeypatch.setattr(Folder, "fetch", lambda self, path, to, d=data: to.write_bytes(d))
        done = visit(scope, root, rules={"hashed": True})
        assert states(done) == {name: "failed"}
        assert words in done.rows[0]["reason"]
        assert copied(root) == {}
        assert scope.flag(name).exists()
    assert not list(root.rglob("*.partial"))


@pytest.mark.parametrize("digit", "0f")
def test_a_hash_that_differs_is_refused_be_it_smaller_or_larger(scope, root, monkeypatch, digit):
    (name,) = acquire(scope, 1)
    monkeypatch.setattr(Folder, "sha256", lambda self, path: 64 * digit)
    done = visit(scope, root, rules={"hashed": True})
    assert states(done) == {name: "failed"}
    assert copied(root) == {}


def test_no_file_is_begun_after_the_time_is_up_and_none_is_cut(scope, root, monkeypatch):
    names = acquire(scope, 4)
    ticks = iter(range(0, 1000, 40))
    monkeypatch.setattr(visits.copying.copy_all, "__kwdefaults__", {"clock": lambda: next(ticks)})
    done = visit(scope, root, rules={"max_s": 100})
    assert sorted(copied(root)) == names[:2]
    assert done.problems == []
    assert len(scope.waiting()) == 2


def test_without_room_nothing_is_begun_and_the_numbers_are_reported(scope, root, monkeypatch):
    acquire(scope, 2)
    monkeypatch.setattr(space, "free_bytes", lambda path: 3 * 10**9)
    done = visit(scope, root, rules={"reserve_gb": 3})
    assert copied(root) == {}
    (problem,) = done.problems
    assert "2 file(s) of 0.000 GB were left on the scope" in problem
    assert "3.000 GB free, of which transfer.free_space_gb keeps 3 GB" in problem


def test_two_runs_on_one_scope_cannot_collide(scope, root):
    acquire(scope, 1)
    root.mkdir()
    with (root / ".copy.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = visit(scope, root)
    assert "held by" in done.problems[0]
    assert copied(root) == {}
    assert visit(scope, root).problems == []


def test_a_scope_that_is_not_there_is_reported_and_earlier_rows_are_kept(scope, root):
    acquire(scope, 1)
    first = visit(scope, root)
    scope.flags.rename(scope.root / "gone")
    second = visit(scope, root, before=first.rows)
    assert second.rows == first.rows
    assert "flag folder" in second.problems[0]


def test_a_connection_that_fails_now_and_then_is_not_given_up(scope, root, monkeypatch):
    acquire(scope, 6)
    real, count = Folder.fetch, iter(range(6))

    def fetch(self, path, to):
        if next(count) % 2 == 0:
            raise ScopeError("connection reset")
        real(self, path, to)

    monkeypatch.setattr(Folder, "fetch", fetch)
    done = visit(scope, root)
    assert list(states(done).values()) == ["failed", "copied"] * 3
    assert done.problems == []


def test_a_broken_file_of_the_size_of_one_copied_before_waits_one_run(scope, root):
    name, size = dat_name(0), 1100
    scope.acquire(name, dat_bytes(0)[:size])
    (row,) = visit(scope, root).rows
    done = visit(scope, root, before=[row | {"status": "copied"}])
    assert states(done) == {name: "failed"}
    assert copied(root) == {}


def test_what_is_left_for_the_next_run_is_not_complete_and_keeps_its_failure(
    scope, root, monkeypatch
):
    names = acquire(scope, 3)
    scope.path(names[2]).write_bytes(dat_bytes(2)[:1100])
    first = visit(scope, root, here={})
    scope.flag(names[1]).touch()
    ticks = iter((0, 1, 200))
    monkeypatch.setattr(visits.copying.copy_all, "__kwdefaults__", {"clock": lambda: next(ticks)})
    limits = {"last_dat": names[2]}
    done = visit(scope, root, before=first.rows, limits=limits, rules={"max_s": 100})
    assert states(done) == {names[0]: "copied", names[1]: "copied", names[2]: "failed"}
    assert not done.complete


def test_the_newest_tile_without_a_flag_is_left_alone_while_imaging_goes_on(scope, root):
    names = acquire(scope, 2)
    scope.flag(names[1]).unlink()
    visit(scope, root, here={names[1]: 1100})  # shorter here: it is being written
    assert sorted(copied(root)) == names[:1]


def test_a_quarantined_tile_is_in_no_hdf5_and_counts_as_absent(tmp_path):
    rows = [
        {"layer_id": dat_name(0)[:27], "tile_key": f"0-0-{c}", "dat": dat_name(0, f"0-0-{c}")}
        for c in range(2)
    ]
    plan = [row | {"bytes": "7"} for row in rows]
    write_table(tmp_path / "transfer/plan.tsv", tuple(plan[0]), plan)
    write_table(tmp_path / "transfer/quarantine.tsv", tuple(rows[1]), rows[1:])
    raw = tmp_path / f"h5/raw/{dat_name(0)[:27]}.raw.h5"
    raw.parent.mkdir(parents=True)
    raw.touch()
    known = state.known_dats(tmp_path / "dat", work_dir=tmp_path)
    assert known == {dat_name(0, "0-0-0"): 7}


def test_a_flag_stays_when_its_file_did_not_get_its_name(scope, root, monkeypatch):
    (name,) = acquire(scope, 1)

    def replace(self, target):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", replace)
    assert states(visit(scope, root)) == {name: "failed"}
    assert copied(root) == {}
    assert scope.flag(name).exists()


def test_missing_files_are_looked_for_until_the_day_after_the_last():
    names = [parse_dat(dat_name(0, day=day)).layer for day in ("24-02-28", "24-02-29")]
    days = ["Y2024/M02/D28", "Y2024/M02/D29", "Y2024/M03/D01"]  # midnight may come in between
    assert visits.copying.days(*names) == days


def test_a_failing_connection_is_given_up_after_three_files(scope, root, monkeypatch):
    acquire(scope, 6)

    def fetch(self, path, to):
        raise ScopeError("connection reset")

    monkeypatch.setattr(Folder, "fetch", fetch)
    done = visit(scope, root)
    assert list(states(done).values()) == ["failed"] * 3
    assert done.problems == ["3 file(s) not tried: the scope failed 3 times in a row"]


# ---------------------------------------------------------------------------------------------
# the fingerprint that decides whether Snakemake visits the scope
# ---------------------------------------------------------------------------------------------


def fingerprint(scope, work, **acquisition):
    limits = {"first_dat": None, "last_dat": None, **acquisition}
    settings = {**vars(scope.settings()), "ssh_options": []}
    return state.copy_fingerprint(settings, limits, work)


def remember(work, done, last=None, words="as before"):
    folder = work / "transfer"
    folder.mkdir(exist_ok=True)
    write_table(folder / "copied.tsv", COPIED_COLUMNS, done.rows)
    write_json(folder / "copy.json", done.state(words, {}, last))


def test_the_fingerprint_changes_while_something_waits_and_stays_when_nothing_does(scope, root):
    work = root.parent
    acquire(scope, 2)
    assert fingerprint(scope, work).startswith("flags: 2")
    remember(work, visit(scope, root))
    assert fingerprint(scope, work) == "as before"
    scope.acquire(dat_name(5), dat_bytes(5))
    assert fingerprint(scope, work).startswith("flags: 1")


def test_the_fingerprint_changes_again_and_again_while_something_fails(scope, root):
    work = root.parent
    names = acquire(scope, 2)
    scope.path(names[0]).unlink()
    remember(work, visit(scope, root), words=fingerprint(scope, work))
    assert fingerprint(scope, work).startswith("flags: 1")
    assert fingerprint(scope, work).endswith("(visit 2)")
    scope.flag(names[0]).unlink()
    assert fingerprint(scope, work) == "the last visit failed (visit 2)"


def test_a_finished_acquisition_is_looked_through_once_and_then_left_alone(scope, root):
    work = root.parent
    names = acquire(scope, 2)
    remember(work, visit(scope, root))
    assert fingerprint(scope, work, last_dat=names[-1]).startswith("nothing looked for")
    done = visit(scope, root, limits={"last_dat": names[-1]})
    remember(work, done, last=names[-1])
    scope.flags.rename(scope.root / "switched off")
    assert fingerprint(scope, work, last_dat=names[-1]) == "as before"
    assert "flag folder" in fingerprint(scope, work)


# ---------------------------------------------------------------------------------------------
# ssh, without a server
# ---------------------------------------------------------------------------------------------


def ssh(answers, **more):
    """An ssh scope whose commands are recorded and answered from a list."""
    asked = []

    def runner(argv, stdin):
        asked.append((list(argv), stdin))
        code, out = answers[len(asked) - 1]
        return subprocess.CompletedProcess(
            argv, code, out, b"warning\nHost key verification failed."
        )

    return Ssh(
        ScopeSettings("/data/my images", "/data/flags", DATA_SET, **more), "me@scope", runner
    ), asked


def test_ssh_never_asks_and_checks_host_keys_unless_told_not_to():
    scope, asked = ssh([(0, b"a\nb\n")], port=2222, ssh_options=("IdentityFile=/k",))
    assert scope.flag_names() == ["a", "b"]
    (argv, _), = asked  # fmt: skip
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "Port=2222", "IdentityFile=/k"} <= set(
        argv
    )
    assert argv[-2:] == ["me@scope", "ls -1 /data/flags"]
    loose, asked = ssh([(0, b"")], host_key_checking=False)
    loose.flag_names()
    assert "StrictHostKeyChecking=no" in asked[0][0]


def test_a_refusal_names_host_command_and_the_last_words():
    scope, _ = ssh([(255, b"")])
    with pytest.raises(ScopeError, match="me@scope: ssh ended with 255.*Host key verification"):
        scope.flag_names()


def test_a_program_that_is_not_installed_is_named():
    def runner(argv, stdin):
        raise FileNotFoundError(2, "No such file or directory")

    scope = Ssh(ScopeSettings("/i", "/f", DATA_SET), "h", runner)
    with pytest.raises(ScopeError, match="ssh: No such file"):
        scope.flag_names()


def test_paths_with_blanks_and_signs_reach_the_scope_as_they_are():
    path = "/data/my images/it's [1].dat"
    scope, asked = ssh([(0, b"12 /data/my images/it's [1].dat\n"), (0, b""), (0, b"")])
    assert scope.sizes([path]) == {path: 12}
    assert asked[0][1] == path.encode() + b"\0"
    scope.fetch(path, Path("x"))
    assert asked[1][0][-2:] == ["me@scope:/data/my images/it's \\[1\\].dat", "x"]
    scope.remove_flag("a b^keep")
    assert asked[2][0][-1] == "rm -f '/data/flags/a b^keep'"


def test_rsync_goes_over_the_same_ssh():
    scope, asked = ssh([(0, b"")], method="rsync", port=2222)
    scope.fetch("/data/a b.dat", Path("x"))
    argv = asked[0][0]
    assert argv[0] == "rsync"
    assert "--protect-args" in argv
    assert "Port=2222" in argv[argv.index("-e") + 1]


def test_a_host_and_the_method_local_do_not_go_together():
    section = vars(ScopeSettings("/i", "/f", DATA_SET, host="scope", method="local"))
    with pytest.raises(UserError, match="transfer.scope.method is local, but .*host is scope"):
        ScopeSettings.of(section)
