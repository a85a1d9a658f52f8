import pytest

from scripts.transfer import flags

NAME = "Merlin-6281_24-03-07_101112_0-1-2.dat"
FLAG = f"mydata-1^E^^Images^Mouse^Y2024^M03^D07^{NAME}^keep"


def test_a_flag_names_data_set_path_and_tile():
    flag = flags.parse_flag(FLAG)
    assert flag.data_set == "mydata-1"
    assert str(flag.scope_path) == f"/cygdrive/E/Images/Mouse/Y2024/M03/D07/{NAME}"
    assert (flag.tile.row, flag.tile.column) == (1, 2)


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("/cygdrive/e/Images/Mouse", f"/cygdrive/E/Images/Mouse/Y2024/M03/D07/{NAME}"),
        ("/mounted/here", f"/mounted/here/Y2024/M03/D07/{NAME}"),
    ],
)
def test_the_file_of_a_flag_is_found_on_the_scope_and_below_a_mount(root, path):
    assert flags.parse_flag(FLAG).path_below(root) == path


def test_folders_may_hold_blanks_and_a_flag_may_have_no_folder():
    assert "Fly Brain" in str(flags.parse_flag(FLAG.replace("Mouse", "Fly Brain")).scope_path)
    bare = flags.parse_flag(f"mydata-1^E^^{NAME}^keep")
    assert bare.path_below("/mounted/here") == f"/mounted/here/{NAME}"


@pytest.mark.parametrize(
    "name",
    [
        FLAG.removesuffix("^keep"),
        FLAG.replace("^E^^", "^E^"),
        FLAG.replace("24-03-07_10", "24-13-07_10"),
        FLAG.replace(NAME, "readme.txt"),
        "",
        "^^^keep",
        NAME,
    ],
)
def test_other_names_are_no_flags(name):
    assert flags.parse_flag(name) is None


def test_flags_of_the_data_set_come_in_acquisition_order_whatever_the_listing():
    later = FLAG.replace("101112", "101113")
    tenth = FLAG.replace("0-1-2", "0-1-10")
    foreign = FLAG.replace("mydata-1^", "mydata-10^")
    chosen, strange = flags.choose([later, tenth, foreign, "thumbs.db", FLAG], "mydata-1")
    assert [flag.file_name for flag in chosen] == [FLAG, tenth, later]
    assert strange == ["thumbs.db"]
