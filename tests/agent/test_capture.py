"""Loaders that only exist while the script runs: inside main(), behind argparse, in a loop without a guard."""

import multiprocessing
import os
import signal
import textwrap

import pytest
from script_texts import NUMBERS

from loaderscope.agent.messages import ErrorInfo, TrialConfig

HAS_SPAWN = "spawn" in multiprocessing.get_all_start_methods()

DATA = "    import argparse, atexit, os, sys" + NUMBERS

IN_MAIN = (
    DATA
    + """
    def main():
        parser = argparse.ArgumentParser()
        parser.add_argument("--length", type=int, required=True)
        arguments = parser.parse_args()
        atexit.register(print, "atexit ran")
        warm_up = DataLoader(Numbers(4), batch_size=2)
        for epoch in range(2):
            for batch in warm_up:
                pass
        print("warmed up", flush=True)
        train = DataLoader(Numbers(arguments.length), 5, num_workers=2, persistent_workers=True)
        try:
            for batch in train:
                print("trained", flush=True)
        finally:
            print("unwound", flush=True)

    if __name__ == "__main__":
        main()
"""
)

UNGUARDED = (
    DATA
    + """
    early = Numbers(9)
    for batch in DataLoader(Numbers(8), batch_size=2):
        print("trained", flush=True)
    late = Numbers(7)
"""
)


def test_a_loader_in_main_is_offered_without_running_main(agent, write):
    targets = agent.load(write(IN_MAIN))
    captured = next(target for target in targets if target.kind == "captured")
    assert (captured.name, captured.length, captured.current) == ("captured:0", None, None)
    assert "main()" in captured.note
    assert agent.close() == []


def test_the_script_runs_to_the_wanted_iteration_and_no_further(agent, write):
    """captured:1 is the second loader, whatever number of epochs the first ran; the training never starts."""
    targets = agent.load(write(IN_MAIN), "--length", "23", capture=1)
    assert not isinstance(targets, ErrorInfo), targets.message
    captured = targets[0]
    assert (captured.name, captured.type_name, captured.length, captured.note) == ("captured:1", "DataLoader", 23, "")
    assert (captured.current.num_workers, captured.current.batch_size, captured.current.persistent_workers) == (2, 5, True)
    agent.attach("captured:1")
    for config in (TrialConfig(0, 5), TrialConfig(1, 4, 2, start_method="spawn" if HAS_SPAWN else None)):
        outcome = agent.trial(config)
        assert not isinstance(outcome, ErrorInfo), outcome.message
        assert (outcome.samples, outcome.batches) == (23, 23 // config.batch_size + 1)
    assert agent.close() == ["warmed up"]


def test_a_script_that_ends_before_says_how(start_agent, write):
    script = write(IN_MAIN)
    failure = start_agent().load(script, capture=0)  # without --length
    assert failure.kind == "SystemExit"
    assert "sys.exit(2)" in failure.message and "before it iterated its first DataLoader; the arguments" in failure.message
    failure = start_agent().load(write("print('no loader')\n", "other.py"), capture=0)
    assert failure.message == "other.py ended before it iterated its first DataLoader: it iterates none"


def test_a_loop_without_a_guard_stands_still_when_the_script_is_loaded(agent, write):
    script = write(UNGUARDED)
    targets = agent.load(script)
    line = UNGUARDED.splitlines().index("    for batch in DataLoader(Numbers(8), batch_size=2):") + 1
    captured = targets[0]
    assert (captured.name, captured.line, captured.length) == ("captured:0", line, 8)
    assert f"train.py, line {line}" in captured.note
    assert [target.name for target in targets] == ["captured:0", "early"]
    for name in ("early", "captured:0"):
        assert agent.attach(name)["notes"] == [captured.note]
    assert agent.trial(TrialConfig(0, 2)).batches == 4
    assert agent.trial(TrialConfig(1, 2, start_method="fork")).batches == 4 or multiprocessing.get_start_method() != "fork"
    if HAS_SPAWN:
        failure = agent.trial(TrialConfig(1, 2, start_method="spawn"))
        assert (failure.kind, failure.line, failure.file) == ("main-guard", line, str(script))
        assert 'if __name__ == "__main__":' in failure.message
    assert agent.close() == []


def test_a_subclass_with_an_iter_of_its_own_is_captured_too(agent, write):
    script = write(
        DATA
        + """
    class Shard(DataLoader):
        def __iter__(self):
            for batch in super().__iter__():
                yield batch

    if __name__ == "__main__":
        for batch in Shard(Numbers(6), batch_size=3):
            print("trained", flush=True)
"""
    )
    targets = agent.load(script, capture=0)
    assert (targets[0].type_name, targets[0].length) == ("Shard", 6)
    agent.attach("captured:0")
    assert agent.trial(TrialConfig(0, 2)).batches == 3
    assert agent.close() == []


WRAPPED = {
    "swallowed": "try:\n    list(loader)\nexcept:\n    pass",
    "class body": "class Batches:\n    first = next(iter(loader))",
    "else of the guard": 'if __name__ == "__main__":\n    pass\nelse:\n    list(loader)',
    "thread that is waited for": "import threading\nthread = threading.Thread(target=list, args=(loader,))\nthread.start()\nthread.join()",
    "thread": "import threading\nthread = threading.Thread(target=list, args=(loader,), daemon=True)\nthread.start()\nthread.join(0.3)",
}


@pytest.mark.skipif(not HAS_SPAWN, reason="no start method imports the script again")
@pytest.mark.parametrize("way", WRAPPED)
def test_a_loop_without_a_guard_is_found_in_whatever_it_is_wrapped(agent, write, way):
    script = write(textwrap.dedent(DATA) + "loader = DataLoader(Numbers(8), batch_size=2)\n" + WRAPPED[way] + "\n")
    targets = agent.load(script)
    assert [target.name for target in targets][:2] == ["captured:0", "loader"]
    assert "the script stands still there" in targets[0].note
    agent.attach("captured:0")
    failure = agent.trial(TrialConfig(1, 2, start_method="spawn"))
    assert (failure.kind, failure.file) == ("main-guard", str(script))
    assert failure.line > script.read_text().splitlines().index("loader = DataLoader(Numbers(8), batch_size=2)") + 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize(("end", "status"), [("pass", 0), ("sys.exit(7)", 7), ("raise ValueError('in the child')", 1)])
def test_a_child_that_the_script_forks_ends_where_the_script_ends(agent, write, end, status):
    """It is no agent: it neither answers the app nor removes the app's files."""
    main = f"""
    child = os.fork()
    if child == 0:
        {end}
    else:
        print(os.WEXITSTATUS(os.waitpid(child, 0)[1]), flush=True)
        list(DataLoader(Numbers(8), batch_size=2))
    """
    assert agent.load(write(DATA + main), capture=0)[0].name == "captured:0"
    assert agent.process.folder.exists()
    assert agent.close()[-1] == str(status)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no signal for a handler of the script")
def test_a_signal_handler_that_raises_does_not_let_the_script_run_on(agent, write):
    """The main thread waits while a thread of the script serves; it must send no answer of its own."""
    handler = "import signal\ndef stop(number, frame):\n    raise RuntimeError('stopped')\nsignal.signal(signal.SIGUSR1, stop)\n"
    loader = "loader = DataLoader(Numbers(8), batch_size=2)\n"
    assert agent.load(write(textwrap.dedent(DATA) + handler + loader + WRAPPED["thread"] + "\n"))[0].name == "captured:0"
    for _ in range(3):
        os.kill(agent.process.pid, signal.SIGUSR1)
        assert agent.ask("clock")["type"] == "clock"
    agent.attach("captured:0")
    assert agent.trial(TrialConfig(0, 2)).batches == 4


@pytest.mark.skipif(not HAS_SPAWN, reason="no start method imports the script again")
def test_a_loop_in_an_imported_module_is_named_there(agent, write):
    helper = write(textwrap.dedent(DATA) + "loader = DataLoader(Numbers(8), batch_size=2)\nlist(loader)\n", "helper.py")
    agent.load(write("import torch\nfrom helper import loader\n"))
    agent.attach("captured:0")
    failure = agent.trial(TrialConfig(1, 2, start_method="spawn"))
    line = helper.read_text().splitlines().index("list(loader)") + 1
    assert (failure.file, failure.line) == (str(helper), line)
    assert f"helper.py, line {line} (train.py imports it)" in failure.message


@pytest.mark.skipif(not HAS_SPAWN, reason="no start method imports the script again")
def test_an_inverted_guard_is_a_guard(agent, write):
    text = textwrap.dedent(DATA) + 'if __name__ != "__main__":\n    pass\nelse:\n    list(DataLoader(Numbers(8), batch_size=2))\n'
    agent.load(write(text), capture=0)
    agent.attach("captured:0")
    assert agent.trial(TrialConfig(1, 2, start_method="spawn")).batches == 4


def test_a_notebook_that_was_exported_is_told_what_to_do_with_it(agent, write):
    assert "exported from a notebook" in agent.load(write("get_ipython().run_line_magic('time', '')\n")).message


@pytest.mark.parametrize("guard", ['if "__main__" == __name__:', 'if __name__ == "__main__" and True:', "if __name__ == '__main__':"])
def test_every_way_to_write_the_guard_is_understood(guard):
    import ast

    from loaderscope.agent.capture import is_main_guard

    assert is_main_guard(ast.parse(guard + "\n    pass").body[0])
    assert not is_main_guard(ast.parse(guard.replace("__main__", "train") + "\n    pass").body[0])
