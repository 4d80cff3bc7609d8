"""What is noted of warnings and of logging while something is recorded, and that the user's code sees nothing of it."""

import collections
import json
import pathlib
import signal
import subprocess
import textwrap

import logs
import pytest
from agent_interpreter import AGENT_PYTHON, needs

from loaderscope.agent import layout
from loaderscope.agent.layout import INSTANT, NO_NAME, REST, State

FOLDER = pathlib.Path(__file__).parent
PRELUDE = f"""\
import sys
sys.path.insert(0, {str(FOLDER)!r})
import agent_package
agent_package.load()
from _loaderscope_agent import eventlog, instrument, recorder, warning_notes
import os, warnings
log_dir = sys.argv[1]
"""
START, STOP = "instrument.start_recording(log_dir, 60.0)\n", "instrument.stop_recording()\n"


class Run:
    """A piece of code that was run while something was recorded, or not; `noted` counts (kind, text)."""

    def __init__(self, code, log_dir, recorded=True, before=""):
        log_dir.mkdir(exist_ok=True)
        source = PRELUDE + textwrap.dedent(before) + (START if recorded else "pass\n") + textwrap.dedent(code) + (STOP if recorded else "")
        path = log_dir.parent / "user.py"
        path.write_text(source)
        ended = subprocess.run([AGENT_PYTHON, str(path), str(log_dir)], capture_output=True, text=True, timeout=60, check=False)
        self.status, self.stdout, self.stderr = ended.returncode, ended.stdout, ended.stderr
        self.lines = source.splitlines()
        self.noted, self.places = collections.Counter(), {}
        for log in logs.read_logs(log_dir):
            names = self._names(log_dir)
            for record in log.records:
                if record.state == State.WARNED:
                    assert record.form == INSTANT
                    kind, place, text = names[record.a].split("\0") if record.a != NO_NAME else ("", "", None)
                    self.noted[kind, text] += 1
                    self.places[text] = place
        self.name_count = len(self._names(log_dir))

    @staticmethod
    def _names(log_dir):
        return [json.loads(line) for path in log_dir.glob("*" + layout.NAMES_SUFFIX) for line in path.read_text().splitlines()]


@pytest.fixture
def run(tmp_path):
    return lambda code, **options: Run(code, tmp_path / "log", **options)


def test_a_warning_that_is_shown_is_noted_with_category_text_and_place(run):
    seen = run("""
        class Odd(RuntimeWarning):
            pass
        warnings.warn("an odd one", Odd)
        """)
    assert seen.noted == {("Odd", "an odd one"): 1}
    file, line = seen.places["an odd one"].rsplit(":", 1)
    assert pathlib.Path(file).name == "user.py"
    assert "warn(" in seen.lines[int(line) - 1]


def test_equal_texts_are_written_once_and_counted_each_time(run):
    seen = run("""
        warnings.simplefilter("always")
        for _ in range(500):
            warnings.warn("again")
        """)
    assert seen.noted == {("UserWarning", "again"): 500}
    assert seen.name_count == 1


def test_what_filters_hold_back_is_not_noted(run):
    seen = run("""
        warnings.simplefilter("ignore", UserWarning)
        warnings.warn("ignored")
        for _ in range(3):
            warnings.warn("once a place", RuntimeWarning)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                warnings.warn("raised", RuntimeWarning)
            except RuntimeWarning:
                pass
        """)
    assert seen.noted == {("RuntimeWarning", "once a place"): 1}


def test_what_the_code_collects_itself_is_not_noted(run):
    seen = run("""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("collected")
            print(len(caught))
        warnings.warn("shown")
        """)
    assert seen.stdout == "1\n"
    assert seen.noted == {("UserWarning", "shown"): 1}


def test_a_warning_that_logging_captures_is_noted_once_under_its_category(run):
    seen = run("""
        import logging
        logging.basicConfig()
        logging.captureWarnings(True)
        warnings.warn("captured")
        """)
    assert seen.noted == {("UserWarning", "captured"): 1}
    assert seen.stderr.startswith("WARNING:py.warnings:")


def test_a_captured_warning_that_its_logger_drops_is_not_noted(run):
    seen = run("""
        import logging
        logging.captureWarnings(True)
        logging.getLogger("py.warnings").setLevel(logging.ERROR)
        warnings.warn("dropped")
        """)
    assert not seen.noted
    assert not seen.stderr


def test_a_function_of_the_users_own_that_shows_warnings_is_called_and_noted_once(run):
    seen = run("""
        import logging
        def show(message, category, filename, lineno, file=None, line=None):
            print("shown", message)
            logging.warning("a warning came: %s", message)
        warnings.showwarning = show
        warnings.warn("in my way")
        logging.warning("another")
        """)
    assert seen.stdout == "shown in my way\n"
    assert seen.noted == {("UserWarning", "in my way"): 1, ("WARNING", "another"): 1}


@needs("sys.version_info >= (3, 11)", "older Pythons put the frame back when they raise")
def test_an_error_of_such_a_function_reaches_the_user_without_a_frame_of_ours(run):
    seen = run("""
        def show(*arguments, **more):
            raise LookupError("of my function")
        warnings.showwarning = show
        try:
            warnings.warn("not shown")
        except LookupError as error:
            import traceback
            print([frame.name for frame in traceback.extract_tb(error.__traceback__)])
        """)
    assert seen.stdout == "['<module>', '_showwarnmsg', 'show']\n"


def test_records_of_logging_are_noted_from_warning_on_if_their_logger_passes_them(run):
    seen = run("""
        import logging
        logger = logging.getLogger("mine")
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        logger.info("not this")
        logger.warning("sample %d", 3)
        logger.error("wrong")
        try:
            raise ValueError
        except ValueError:
            logger.exception("failed")
        logger.critical("over")
        logger.log(35, "between")
        logger.addFilter(lambda record: "secretly" not in record.getMessage())
        logger.warning("secretly")
        logger.disabled = True
        logger.error("disabled")
        logging.disable(logging.CRITICAL)
        logging.getLogger("other").error("all disabled")
        """)
    noted = {("WARNING", "sample 3"), ("ERROR", "wrong"), ("ERROR", "failed"), ("CRITICAL", "over"), ("Level 35", "between")}
    assert set(seen.noted) == noted
    assert set(seen.noted.values()) == {1}
    line = int(seen.places["wrong"].rsplit(":", 1)[1])
    assert 'logger.error("wrong")' in seen.lines[line - 1]


def test_a_level_whose_name_holds_colours_is_told_plainly(run):
    seen = run(r"""
        import logging
        logging.addLevelName(logging.WARNING, "\033[33mWARNING\033[0m")
        logging.warning("in yellow")
        """)
    assert seen.noted == {("WARNING", "in yellow"): 1}


def test_a_record_that_another_process_made_is_not_noted_again(run):
    seen = run("""
        import logging
        record = logging.LogRecord("mine", logging.ERROR, "worker.py", 7, "handed on", (), None)
        record.process = os.getpid() + 1
        logging.getLogger("mine").handle(record)
        """)
    assert not seen.noted
    assert seen.stderr == "handed on\n"


def test_logging_is_watched_as_soon_as_it_is_there_and_not_imported_before(run):
    seen = run("""
        print("logging" in sys.modules)
        import logging
        logging.warning("late")
        """)
    assert seen.stdout == "False\n"
    assert seen.noted == {("WARNING", "late"): 1}


SPEAKING = """
    import logging
    warnings.warn("first")
    logging.getLogger("quiet").warning("without any handler")
    logging.basicConfig(format="%(levelname)s %(module)s:%(lineno)d %(funcName)s %(message)s")
    print(len(logging.root.handlers))
    def speak():
        warnings.warn("from where it is called", stacklevel=2)
        logging.error("two\\nlines", stack_info=False)
    speak()
    logging.captureWarnings(True)
    warnings.warn("captured")
    print(warnings.showwarning.__module__, warnings.filters[0])
    """


def test_the_code_prints_and_sees_the_same_as_without_us(run, tmp_path):
    plain = Run(SPEAKING, tmp_path / "plain", recorded=False)
    recorded = Run(SPEAKING, tmp_path / "log")
    assert recorded.noted.total() == 5
    assert plain.noted.total() == 0
    assert (recorded.stdout, recorded.stderr) == (plain.stdout, plain.stderr)


def test_everything_is_put_back_when_recording_ends(run):
    seen = run(
        """
        instrument.stop_recording()
        print(warnings._showwarnmsg is shown_by, logging.Logger.callHandlers is handled_by)
        warnings.warn("afterwards")
        instrument.start_recording(log_dir, 60.0)
        """,
        before="""
        import logging
        shown_by, handled_by = warnings._showwarnmsg, logging.Logger.callHandlers
        """,
    )
    assert seen.stdout == "True True\n"
    assert not seen.noted


def test_texts_that_tell_their_sample_do_not_take_the_place_of_others(run):
    seen = run("""
        warnings.simplefilter("always")
        for sample in range(1000):
            warnings.warn("sample %d is broken" % sample)
        for _ in range(3):
            warnings.warn("something else", RuntimeWarning)
        """)
    kept = [text for kind, text in seen.noted if text.startswith("sample")]
    assert len(kept) == 20
    assert seen.noted["UserWarning", REST] == 1000 - 20
    assert seen.noted["RuntimeWarning", "something else"] == 3


def test_the_texts_of_a_process_are_bounded_in_all_and_each_in_length(run):
    seen = run("""
        warnings.simplefilter("always")
        for place in range(1000):
            warnings.warn_explicit("x" * 100_000, UserWarning, "file%d.py" % place, 1)
        """)
    assert seen.noted.total() == 1000
    assert seen.name_count == 300
    assert max(len(text) for _, text in seen.noted if text) < 3000


def test_a_text_that_cannot_be_had_is_told_so_and_fails_where_it_would_without_us(run):
    seen = run("""
        import logging
        class Rude:
            def __str__(self):
                raise ZeroDivisionError
        logging.raiseExceptions = False
        logging.warning(Rude())
        logging.warning("%d", "word")
        try:
            warnings.warn(UserWarning(Rude()))
        except ZeroDivisionError:
            print("raised")
        """)
    assert seen.stdout == "raised\n"
    kinds = sorted(text.split("(")[1] for _, text in seen.noted)
    assert len(kinds) in (2, 3)
    assert {"ZeroDivisionError)", "TypeError)"} == set(kinds)


def test_nothing_is_lost_when_the_process_is_killed(run):
    seen = run("""
        warnings.simplefilter("always")
        for _ in range(7):
            warnings.warn("before the end")
        os.kill(os.getpid(), 9)
        """)
    assert seen.status == -signal.SIGKILL
    assert seen.noted == {("UserWarning", "before the end"): 7}


def test_a_finalizer_that_warns_while_a_text_is_written_is_counted_and_nothing_hangs(run):
    seen = run("""
        warnings.simplefilter("always")
        plain = eventlog.quoted
        def quoted(text):
            warnings.warn("of a finalizer")
            return plain(text)
        eventlog.quoted = quoted
        warnings.warn("outer")
        eventlog.quoted = plain
        """)
    assert seen.noted == {("UserWarning", "outer"): 1, ("", None): 1}


def test_a_signal_that_warns_while_a_log_grows_does_not_hang(run):
    seen = run("""
        warnings.simplefilter("always")
        warnings.warn("known")
        plain = recorder.log._make_segment
        def make_segment(number):
            warnings.warn("known")
            return plain(number)
        recorder.log._make_segment = make_segment
        for _ in range(1 << 15):
            recorder.write(5)
        warnings.warn("known")
        """)
    assert seen.status == 0
    assert seen.noted["UserWarning", "known"] >= 1


def test_threads_that_warn_at_once_keep_their_texts_apart(run):
    seen = run("""
        import threading
        warnings.simplefilter("always")
        sys.setswitchinterval(1e-6)
        def work(name):
            for number in range(15):
                for _ in range(10):
                    warnings.warn_explicit("%s-%d" % (name, number), UserWarning, name, 1)
        threads = [threading.Thread(target=work, args=("thread%d" % i,)) for i in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """)
    assert set(seen.noted.values()) == {10}
    assert len(seen.noted) == 6 * 15
    assert all(seen.places[text].startswith(text.partition("-")[0] + ":") for _, text in seen.noted)
