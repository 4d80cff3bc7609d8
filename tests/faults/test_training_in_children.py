"""A script that trains in other processes: none of them trains while its loader is looked for, whatever starts them."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest
from running import CollectingSink, nothing_left_of, request, run_pool, write_script

from loaderscope.sweep.inspect_script import inspect_script
from loaderscope.sweep.pool import Pool
from loaderscope.sweep.ready_agent import SweepError

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="starts processes as only POSIX can")

SCRIPT = """
    import atexit, multiprocessing, os, subprocess, sys, threading, time
    HERE = os.path.dirname(os.path.abspath(__file__))

    def trained(what):
        with open(os.path.join(HERE, "trained-" + what), "w"):
            pass

    def train(rank=0):
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        atexit.register(trained, "atexit")
        try:
            for epoch in range(2):
                for batch in DataLoader(TensorDataset(torch.zeros(400, 3)), batch_size=4):
                    trained("batch")
                trained("epoch")
        except BaseException:
            trained("except")
            raise
        finally:
            trained("finally")

    def started(kind):
        again = [sys.executable, os.path.abspath(__file__), "--child"]
        if kind == "torch":
            import torch.multiprocessing
            torch.multiprocessing.spawn(train, nprocs=1)
        elif kind == "two ranks":
            import torch.multiprocessing
            torch.multiprocessing.spawn(train, nprocs=2)
        elif kind in ("fork", "spawn", "forkserver"):
            process = multiprocessing.get_context(kind).Process(target=train)
            process.start()
            process.join()
        elif kind == "pool":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                pool.map(train, [0])
        elif kind == "subprocess":
            subprocess.run(again, check=True)
        elif kind == "grandchild":
            subprocess.run([*again[:2], "torch"], check=True)
        elif kind == "own environment":
            subprocess.run(again, env={"PATH": os.environ["PATH"]}, check=True)
        elif kind == "own PYTHONPATH":
            os.environ["PYTHONPATH"] = HERE
            subprocess.run(again, check=True)
        elif kind == "shell":
            os.system("'" + "' '".join(again) + "'")
        elif kind == "shell that execs":
            subprocess.run(["bash", "-c", "exec '" + "' '".join(again) + "'"])
        elif kind == "own session":
            subprocess.Popen(again, start_new_session=True).wait()
        elif kind == "left behind":
            subprocess.Popen(["setsid", "nohup", *again])
        elif kind == "exec":
            os.execv(sys.executable, again)
        elif kind == "execve":
            os.execve(sys.executable, again, {"PATH": os.environ["PATH"]})
        elif kind == "posix_spawn":
            os.waitpid(os.posix_spawn(sys.executable, again, {"PATH": os.environ["PATH"]}), 0)
        elif kind == "os.fork":
            if os.fork() == 0:
                train()
                os._exit(0)
            os.wait()
        elif kind == "torchrun":
            subprocess.run([sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *again[1:]])
        elif kind == "isolated":
            subprocess.run([again[0], "-I", *again[1:]])

    if __name__ == "__main__":
        if sys.argv[1] == "--child":
            train()
        else:
            started(sys.argv[1])
            if sys.argv[1] != "left behind":  # there the script goes on before its child has come to anything
                trained("after")
"""

ONE = [
    "torch", "own environment",
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("subprocess", "spawn", "pool", "grandchild", "own PYTHONPATH")),
    *(pytest.param(kind, marks=POSIX) for kind in ("fork", "exec", "left behind")),
    *(pytest.param(kind, marks=[POSIX, pytest.mark.slow]) for kind in (
        "forkserver", "shell", "shell that execs", "own session", "execve", "posix_spawn", "os.fork")),
]  # fmt: skip


def asked(folder: pathlib.Path, kind: str, workers: tuple[int, ...] = (0,), **options):
    script = write_script(folder, SCRIPT, "train.py")
    return request(script, workers, target="captured:0", script_args=(kind,), batches=8, batch_size=(4,), **options)


def traces_of_training(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.glob("trained-*"))


@pytest.mark.parametrize("kind", ONE)
def test_a_training_in_one_child_is_captured_there_and_does_not_run(tmp_path, kind):
    sink = run_pool(asked(tmp_path, kind))
    assert sink.statuses == ["ok"], (sink.results[0].error, sink.output)
    assert sink.results[0].batches == 8
    assert "train.py" in sink.run.target.note and "process that it starts" in sink.run.target.note
    assert nothing_left_of(os.getpid())
    assert traces_of_training(tmp_path) == []


@pytest.mark.parametrize("kind", ["torch", *(pytest.param(kind, marks=[POSIX, pytest.mark.slow]) for kind in ("fork", "subprocess"))])
def test_workers_of_every_start_method_run_below_a_captured_child(tmp_path, kind):
    sink = run_pool(asked(tmp_path, kind, (1,), start_method=("spawn",) if sys.platform == "win32" else ("fork", "spawn")))
    assert sink.statuses == ["ok"] * len(sink.statuses), sink.output
    assert traces_of_training(tmp_path) == []


@pytest.mark.parametrize("kind", ["torchrun", pytest.param("two ranks", marks=pytest.mark.slow)])
def test_several_children_are_counted_and_ended_before_they_train(tmp_path, kind):
    with pytest.raises(SweepError) as raised:
        Pool(asked(tmp_path, kind), CollectingSink()).run()
    assert nothing_left_of(os.getpid())
    info = raised.value.info
    assert "2 processes" in info.message
    assert (os.path.basename(info.file or ""), info.line) == ("train.py", SCRIPT[: SCRIPT.index("for batch in")].count("\n") + 1)
    assert traces_of_training(tmp_path) == []


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not tell what another process has loaded")
def test_a_child_that_ignores_its_environment_is_ended_before_it_trains(tmp_path):
    with pytest.raises(SweepError) as raised:
        Pool(asked(tmp_path, "isolated"), CollectingSink()).run()
    assert "-I" in raised.value.info.message
    assert nothing_left_of(os.getpid())
    assert traces_of_training(tmp_path) == []


@POSIX
@pytest.mark.parametrize(
    "signal",
    ["p.kill()", *(pytest.param(other, marks=pytest.mark.slow) for other in ("p.terminate()", "os.killpg(os.getpgid(p.pid), 15)"))],
)
def test_a_parent_that_ends_its_child_after_a_while_neither_ends_the_trial_nor_goes_on(tmp_path, signal):
    script = write_script(
        tmp_path,
        f"""
        import os, subprocess, sys, time
        if __name__ == "__main__" and len(sys.argv) == 1:
            p = subprocess.Popen([sys.executable, __file__, "--child"], start_new_session=True)
            while not os.path.exists("served"):
                time.sleep(0.05)
            open("patience-is-over", "w")
            {signal}
            open("saved", "w")
        elif __name__ == "__main__":
            import torch
            from torch.utils.data import DataLoader, Dataset
            class Served(Dataset):
                def __len__(self):
                    return 40
                def __getitem__(self, index):
                    if index == 4:
                        open("served", "w")
                    while index == 8 and not os.path.exists("patience-is-over"):
                        time.sleep(0.05)
                    time.sleep(0.02)
                    return index
            for batch in DataLoader(Served()):
                pass
        """,
    )
    sink = run_pool(request(script, (0,), target="captured:0", batches=40))
    assert sink.statuses == ["ok"], (sink.results[0].error, sink.output)
    assert (tmp_path / "patience-is-over").exists()
    assert nothing_left_of(os.getpid())
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    "how", ["[sys.executable, '-c', code]", pytest.param("[sys.executable, '-'], input=code, text=True", marks=pytest.mark.slow)]
)
def test_a_child_whose_code_is_in_no_file_is_told(tmp_path, how):
    script = write_script(
        tmp_path,
        f"""
        import subprocess, sys
        code = "from torch.utils.data import DataLoader\\nfor batch in DataLoader(range(9)): open('trained-batch', 'w')"
        if __name__ == "__main__":
            subprocess.run({how})
        """,
    )
    with pytest.raises(SweepError) as raised:
        Pool(request(script, (0,), target="captured:0"), CollectingSink()).run()
    assert raised.value.info.kind == "unsupported" and "no file" in raised.value.info.message
    assert traces_of_training(tmp_path) == []


def test_the_last_words_of_a_child_that_fails_before_it_comes_to_a_loader_are_told(tmp_path):
    script = write_script(
        tmp_path,
        """
        import multiprocessing
        def train():
            raise ValueError("no such preset")
        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(target=train)
            process.start()
            process.join()
        """,
    )
    with pytest.raises(SweepError) as raised:
        Pool(request(script, (0,), target="captured:0"), CollectingSink()).run()
    assert "iterates none" in raised.value.info.message
    assert "ValueError: no such preset" in raised.value.output


@pytest.mark.skipif(sys.platform != "linux", reason="the title is changed as it is on Linux")
def test_a_forked_child_that_changes_its_title_is_captured(tmp_path):
    script = write_script(
        tmp_path,
        """
        import ctypes, multiprocessing, time, torch
        from torch.utils.data import DataLoader
        def train():
            fields = open("/proc/self/stat").read().rpartition(")")[2].split()
            first, end = int(fields[45]), int(fields[46])
            ctypes.memset(first, 0, end - first)
            ctypes.memmove(first, b"trainer", 7)
            time.sleep(0.6)  # it is looked at five times a second
            for batch in DataLoader(range(40)):
                open("trained-batch", "w")
        if __name__ == "__main__":
            process = multiprocessing.get_context("fork").Process(target=train)
            process.start()
            process.join()
        """,
    )
    sink = run_pool(request(script, (0,), target="captured:0"))
    assert sink.statuses == ["ok"], (sink.results[0].error, sink.output)
    assert traces_of_training(tmp_path) == []


def _can_unshare() -> bool:
    try:
        return subprocess.run(["unshare", "-p", "-f", "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _can_unshare(), reason="no process can be given a namespace of its own here")
def test_no_other_process_is_stopped_for_a_child_that_has_the_same_pid_in_a_namespace_of_its_own(tmp_path):
    (tmp_path / "inner.py").write_text(
        "from torch.utils.data import DataLoader\nfor batch in DataLoader(range(9)): open('trained-batch', 'w')\n"
    )
    script = write_script(
        tmp_path,
        """
        import subprocess, sys
        subprocess.run(["unshare", "-p", "-f", sys.executable, "inner.py"])
        open("trained-after", "w")
        """,
    )
    with pytest.raises(SweepError) as raised:
        Pool(request(script, (0,), target="captured:0"), CollectingSink()).run()
    assert raised.value.info.kind == "unsupported" and "namespace" in raised.value.info.message
    assert nothing_left_of(os.getpid())
    assert traces_of_training(tmp_path) == []


def test_a_later_loader_is_counted_across_processes(tmp_path):
    """captured:1 is the first loader of the child where the script itself iterates one before."""
    script = write_script(
        tmp_path,
        """
        import torch, torch.multiprocessing
        from torch.utils.data import DataLoader, TensorDataset
        def train(rank):
            for batch in DataLoader(TensorDataset(torch.zeros(24, 3)), batch_size=3):
                pass
            open("trained", "w")
        if __name__ == "__main__":
            next(iter(DataLoader(TensorDataset(torch.zeros(10, 3)))))
            torch.multiprocessing.spawn(train, nprocs=1)
        """,
    )
    sink = run_pool(request(script, (0,), target="captured:1", batches=4))
    assert (sink.statuses, sink.run.target.length) == (["ok"], 24)
    assert not (tmp_path / "trained").exists()


def test_the_environment_of_trials_is_that_of_the_user(tmp_path):
    """What reached the children of the script is gone when workers start, and the script's own PYTHONPATH is there."""
    script = write_script(
        tmp_path,
        """
        import os, sys, torch
        from torch.utils.data import DataLoader, Dataset
        class Told(Dataset):
            def __len__(self):
                return 8
            def __getitem__(self, index):
                print("PYTHONPATH", os.environ.get("PYTHONPATH"), "look", [name for name in os.environ if "LOOK" in name], flush=True)
                return index
        if __name__ == "__main__":
            for batch in DataLoader(Told()):
                pass
        """,
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        sink = run_pool(request(script, (1,), "spawn", target="captured:0"))
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    assert f"PYTHONPATH {tmp_path} look []" in sink.output


def test_the_users_own_sitecustomize_runs_in_children(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys; sys.own_site = 'there'")
    script = write_script(
        tmp_path,
        """
        import os, subprocess, sys
        code = "import sys; print('site', sys.own_site, [path for path in sys.path if 'child_hook' in path], flush=True)"
        subprocess.run([sys.executable, "-c", code])
        dataset = None
        """,
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(tmp_path / "site")
    try:
        inspection = inspect_script(dataclasses.replace(request(script), target=None))
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    assert "site there []" in [line.text for line in inspection.log]


def test_a_script_without_a_loader_is_told_where_it_stands(tmp_path):
    script = write_script(
        tmp_path,
        """
        import time
        def train():
            while True:
                time.sleep(0.01)
        if __name__ == "__main__":
            train()
        """,
    )
    with pytest.raises(SweepError) as raised:
        Pool(request(script, target="captured:0", load_timeout_s=3.0), CollectingSink()).run()
    info = raised.value.info
    assert info.kind == "hung" and (os.path.basename(info.file), info.line) == ("script.py", 5)
    assert "line 5, in train" in info.message and "3 s" in info.message
