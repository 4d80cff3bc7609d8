"""Tracebacks of workers that never began, as Linux and Windows print them, and the sentence that each becomes."""

import pytest

from loaderscope.agent.error_sentences import PAGING_FILE
from loaderscope.sweep.processes.worker_tracebacks import explain

NO_GUARD = r"""Traceback (most recent call last):
  File "<string>", line 1, in <module>
  File "C:\Python312\Lib\multiprocessing\spawn.py", line 122, in spawn_main
    exitcode = _main(fd, parent_sentinel)
  File "C:\Python312\Lib\multiprocessing\spawn.py", line 131, in _main
    prepare(preparation_data)
  File "<frozen runpy>", line 88, in _run_code
  File "/home/me/train.py", line 9, in <module>
    p.start()
  File "C:\Python312\Lib\multiprocessing\process.py", line 121, in start
    self._popen = self._Popen(self)
RuntimeError:
        An attempt has been made to start a new process before the
        current process has finished its bootstrapping phase.

        This probably means that you are not using fork to start your
        child processes and you have forgotten to use the proper idiom
        in the main module:

            if __name__ == '__main__':
                freeze_support()
                ...
"""
NOT_FOUND = r"""  File "C:\Python312\Lib\multiprocessing\spawn.py", line 132, in _main
    self = reduction.pickle.load(from_parent)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
AttributeError: Can't get attribute 'Numbers' on <module '__mp_main__' from 'C:\\Users\\me\\train.py'>
"""
NOTEBOOK = r"""    self = reduction.pickle.load(from_parent)
AttributeError: Can't get attribute 'Numbers' on <module '__main__' (built-in)>
"""
ELSEWHERE = "AttributeError: Can't get attribute 'Crop' on <module 'transforms' from '/home/me/transforms.py'>\n"
BROKEN_OFF = r"""  File "C:\Anaconda3\lib\multiprocessing\spawn.py", line 126, in _main
    self = reduction.pickle.load(from_parent)
EOFError: Ran out of input
"""
BROKEN_OFF_MARKED = BROKEN_OFF.replace("EOFError", "           ^^^^^^^^^^^^^^^^^^^^^^\nEOFError")
TRUNCATED = BROKEN_OFF.replace("EOFError: Ran out of input", "_pickle.UnpicklingError: pickle data was truncated")
NO_COMMIT = (
    "OSError: [WinError 1455] The paging file is too small for this operation to complete. "
    r'Error loading "C:\Python312\Lib\site-packages\torch\lib\cudnn_cnn64_9.dll" or one of its dependencies.'
)


@pytest.mark.parametrize(
    ("output", "kind", "line", "words"),
    [
        (NO_GUARD, "main-guard", 9, "train.py, line 9, starts processes outside of `if __name__"),
        (NOT_FOUND, "not-picklable", None, "no Numbers in train.py"),
        (NOTEBOOK, "not-picklable", None, "notebook"),
        (ELSEWHERE, "not-picklable", None, "no Crop in its module transforms"),
        (BROKEN_OFF, "not-picklable", None, "broke off"),
        (BROKEN_OFF_MARKED, "not-picklable", None, "broke off"),
        (TRUNCATED, "not-picklable", None, "broke off"),
        (NO_COMMIT, "limit", None, "paging file"),
    ],
)
def test_a_worker_that_never_began_is_explained(output, kind, line, words):
    told = explain("something before\n" + output + "something after\n", "/home/me/train.py")
    assert (told.kind, told.line) == (kind, line)
    assert (told.cause == PAGING_FILE) == (output is NO_COMMIT)
    assert words in told.message
    assert "\n" not in told.message
    assert output in told.traceback


@pytest.mark.parametrize("output", ["", "ValueError: no such label\n", "EOFError: Ran out of input\n"])
def test_other_output_explains_nothing(output):
    assert explain(output, "train.py") is None
