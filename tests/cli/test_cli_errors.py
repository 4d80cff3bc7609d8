"""Bad input gets one clear sentence on standard error, status 2, and leaves nothing behind."""

import pathlib
import sys

import pytest
from command_line import SMALL, Done, in_this_process, loaderscope, write_script


def sentence(done: Done) -> str:
    """What was said, which must be one line without a traceback."""
    assert done.status == 2, done.stderr
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith(" ")]
    assert line.startswith("loaderscope: ")
    return line


def test_a_file_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    assert "no file missing.py" in sentence(loaderscope(tmp_path, "run", "missing.py"))
    assert "no file missing.py" in sentence(loaderscope(tmp_path, "targets", "missing.py"))
    assert "no file missing.loaderscope" in sentence(loaderscope(tmp_path, "show", "missing.loaderscope"))
    assert "missing" in sentence(loaderscope(tmp_path, "missing"))


def test_a_wrong_option_is_told_without_the_usage_of_all_others(tmp_path: pathlib.Path) -> None:
    said = sentence(in_this_process(tmp_path, "run", "script.py", "--num-workers", "two"))
    assert "--num-workers: 'two' is not a whole number" in said
    assert "`loaderscope run --help`" in said
    assert "SESSION" in sentence(in_this_process(tmp_path, "show"))
    assert "--jsn" in sentence(in_this_process(tmp_path, "show", "some.loaderscope", "--jsn"))


def test_arguments_of_the_script_without_the_dashes_before_them_are_told_where_they_go(tmp_path: pathlib.Path) -> None:
    said = sentence(in_this_process(tmp_path, "run", "train.py", "--config", "small.yaml"))
    assert "--config small.yaml" in said
    assert "follow after --" in said
    assert "`loaderscope run --help`" in said
    assert "after --" not in sentence(in_this_process(tmp_path, "show", "some.loaderscope", "--jsn"))


def test_a_command_misspelt_is_told_as_one(tmp_path: pathlib.Path) -> None:
    assert "nor a command rum" in sentence(in_this_process(tmp_path, "rum", "train.py", "-o", "out.loaderscope"))


def test_a_file_that_lies_beside_the_script_but_not_where_it_runs_is_told_with_its_folder(tmp_path: pathlib.Path) -> None:
    folder, elsewhere = tmp_path / "project", tmp_path / "home"
    for made in (folder, elsewhere):
        made.mkdir()
    (folder / "list.txt").write_text("1\n")
    write_script(folder, 'names = open("list.txt").read()\n')
    said = sentence(in_this_process(elsewhere, "targets", str(folder / "script.py")))
    assert "list.txt" in said
    assert f"start from {folder}" in said
    assert "--cwd" in said
    assert "nothing to profile" in sentence(in_this_process(elsewhere, "targets", str(folder / "script.py"), "--cwd", "../project"))


def test_a_package_that_is_missing_is_told_with_the_interpreter_and_the_environment_near_the_script(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "deep" / "in" / "folders"  # environments above the temporary folder are too far away
    folder.mkdir(parents=True)
    write_script(folder, "import no_such_package\n")
    said = sentence(in_this_process(folder, "targets", "script.py", VIRTUAL_ENV="", CONDA_PREFIX=""))
    assert "no_such_package" in said
    assert said.endswith(f"the script runs in {sys.executable}, --python names another interpreter")
    near = folder / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    near.parent.mkdir(parents=True)
    near.touch()
    said = sentence(in_this_process(folder, "targets", "script.py", VIRTUAL_ENV="", CONDA_PREFIX=""))
    assert said.endswith(f"--python names another interpreter, as {near}")


def test_a_folder_is_no_script(tmp_path: pathlib.Path) -> None:
    assert "is a folder" in sentence(in_this_process(tmp_path, "targets", str(tmp_path)))


def test_a_syntax_error_is_told_with_file_and_line(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, "import torch\n\nx = = 1\n")
    said = sentence(in_this_process(tmp_path, "run", "script.py", "-o", "out.loaderscope"))
    assert "script.py" in said
    assert "line 3" in said
    assert not (tmp_path / "out.loaderscope").exists()


def test_a_script_without_targets_says_how_loaders_in_functions_are_reached(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, "import torch\n")
    assert "captured:0" in sentence(in_this_process(tmp_path, "run", "script.py"))
    assert "nothing to profile" in sentence(in_this_process(tmp_path, "targets", "script.py"))


def test_an_unknown_target_is_answered_with_those_there_are(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    said = sentence(in_this_process(tmp_path, "run", "script.py", "--target", "letters"))
    assert "'letters'" in said
    assert "numbers" in said


def test_an_empty_dataset_is_refused(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL.replace("return 48", "return 0"))
    assert "no samples" in sentence(in_this_process(tmp_path, "run", "script.py", "--target", "numbers"))


def test_a_step_of_the_script_that_is_not_there_is_refused(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    assert "train_step" in sentence(in_this_process(tmp_path, "run", "script.py", "--target", "numbers", "--step", "script"))


def test_a_script_that_ends_itself_is_told(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, "import sys\nsys.exit(3)\n")
    assert "3" in sentence(in_this_process(tmp_path, "targets", "script.py"))
    write_script(tmp_path, "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('root')\nparser.parse_args()\n")
    assert "after --" in sentence(in_this_process(tmp_path, "targets", "script.py"))


def test_a_script_that_never_ends_loading_is_given_up(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, "while True:\n    pass\n")
    assert "--load-timeout" in sentence(in_this_process(tmp_path, "targets", "script.py", "--load-timeout", "2"))


def test_a_file_that_is_no_session_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "foreign.loaderscope").write_bytes(b"PK\x03\x04" + bytes(5000))
    assert "foreign.loaderscope" in sentence(in_this_process(tmp_path, "show", "foreign.loaderscope"))


def test_an_existing_output_is_not_overwritten(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    (tmp_path / "out.loaderscope").write_text("precious")
    assert "--force" in sentence(in_this_process(tmp_path, "run", "script.py", "-o", "out.loaderscope"))
    assert (tmp_path / "out.loaderscope").read_text() == "precious"


def test_a_script_that_does_not_load_costs_no_older_session(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, "raise ValueError('not today')\n")
    (tmp_path / "out.loaderscope").write_text("precious")
    assert "not today" in sentence(in_this_process(tmp_path, "run", "script.py", "-o", "out.loaderscope", "--force"))
    assert (tmp_path / "out.loaderscope").read_text() == "precious"


def test_an_output_in_a_folder_that_is_not_there_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    assert "no folder nowhere" in sentence(in_this_process(tmp_path, "run", "script.py", "-o", "nowhere/out.loaderscope"))


def test_only_a_session_name_is_written_so_that_no_script_is_overwritten(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    assert ".loaderscope" in sentence(in_this_process(tmp_path, "run", "script.py", "-o", "script.py", "--force"))


def test_an_interpreter_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    assert "no-python" in sentence(in_this_process(tmp_path, "targets", "script.py", "--python", str(tmp_path / "no-python")))


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--num-workers", "2,x", "'x' is not a whole number"),
        ("--num-workers", "-1", "too small"),
        ("--pin-memory", "yes", "'yes' is none of on, off"),
        ("--start-method", "vfork", "'vfork' is none of fork, spawn, forkserver"),
        ("--step", "sleep", "sleep:20"),
        ("--batches", "0", "too small"),
        ("--batch-size", "99999999999999999999", "too large"),
        ("--seed", "9223372036854775808", "too large"),
        ("--timeout", "nan", "not a number of seconds"),
        ("--timeout", "1e12", "longer than a year"),
        ("--current", "workers=2", "num_workers"),
        ("--arg", "root", "NAME=VALUE"),
        ("--env", "DATA_ROOT", "NAME=VALUE"),
        ("--env", "=/data", "NAME=VALUE"),
        ("--forkserver-preload", "torch,scipy stats", "'scipy stats' is not the name of a module"),
    ],
)
def test_a_wrong_option_says_what_is_wrong(
    option: str, value: str, words: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from loaderscope.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["run", "script.py", f"{option}={value}"])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_script_that_asks_for_input_is_told_where_and_what_to_do(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, "if input('Overwrite? ') == 'y':\n    pass\n")
    said = sentence(in_this_process(tmp_path, "run", "script.py", "--target", "captured:0"))
    assert "script.py, line 1, asks for input (input())" in said
    assert "after --" in said


@pytest.mark.parametrize(
    ("source", "words", "advises"),
    [
        (
            "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--data', required=True)\nparser.parse_args()\n",
            "error: the following arguments are required: --data",
            True,
        ),
        # as click does it
        (
            """
            import sys
            class UsageError(Exception):
                exit_code = 2
            try:
                raise UsageError("data")
            except UsageError as error:
                print("Usage: train.py [OPTIONS]\\n\\nError: Missing option '--data'.", file=sys.stderr)
                sys.exit(error.exit_code)
            """,
            "Error: Missing option '--data'.",
            True,
        ),
        # as typer does it, with a frame
        (
            """
            import sys
            print("╭─ Error ─────────────╮\\n│ No data in /data.   │\\n╰─────────────────────╯", file=sys.stderr)
            sys.exit(1)
            """,
            "No data in /data.",
            False,
        ),
    ],
)
def test_a_script_that_ends_itself_is_told_in_its_own_last_words(tmp_path: pathlib.Path, source: str, words: str, advises: bool) -> None:
    write_script(tmp_path, source)
    said = sentence(in_this_process(tmp_path, "run", "script.py", "--target", "captured:0"))
    assert "before it iterated its first DataLoader" in said
    assert said.endswith(f"{words}; its own follow after --" if advises else f": {words}")
