"""`loaderscope trace`: the training runs as without us, and its loaders are recorded."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest
from notebooks import notebook_text
from running import nothing_left_of, until, write_script

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.cli.files import read_document
from loaderscope.session.file import SessionFile

SCRIPT = """
    import os
    import sys
    import time
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Waiting(Dataset):
        def __init__(self, samples):
            self.samples = samples
        def __len__(self):
            return self.samples
        def __getitem__(self, index):
            time.sleep(0.001)
            return torch.tensor([float(index)])

    def main():
        torch.manual_seed(0)
        train = DataLoader(Waiting(64), batch_size=8, shuffle=True, num_workers={workers})
        test = DataLoader(Waiting(16), batch_size=8)
        weight = torch.zeros(1, requires_grad=True)
        for epoch in range(2):
            for number, batch in enumerate(train):
                loss = ((batch.mean(0) - weight) ** 2).sum()
                loss.backward()
                with torch.no_grad():
                    weight -= 0.01 * weight.grad
                    weight.grad.zero_()
                if number == 3:
                    for _ in test:
                        pass
                if (epoch, number) == (1, 5):
                    {end}
            print(epoch, float(loss), flush=True)
        print(sys.argv[1:], sys.stdin.readline())

    if __name__ == "__main__":
        main()
"""


def write(tmp_path, end="pass", workers="2"):
    return write_script(tmp_path, SCRIPT.format(end=end, workers=workers), "train.py")


def run(folder, *command):
    """Runs a command; its output goes to files, because workers that outlive it would keep a pipe open."""
    with (folder / "out.txt").open("w+") as out, (folder / "err.txt").open("w+") as err:
        done = subprocess.run([sys.executable, *command], cwd=folder, input="a line\n", text=True, stdout=out, stderr=err, check=False)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, out.read(), err.read())


def plain_run(script, *arguments):
    return run(script.parent, str(script), *arguments)


def traced_run(script, *arguments, options=()):
    return run(script.parent, "-m", "loaderscope", "trace", str(script), *options, "--", *arguments)


def document_of(script):
    return read_document(script.parent / "train.trace.loaderscope")


@pytest.fixture(
    scope="module", params=["2", pytest.param('1, multiprocessing_context="spawn"', marks=pytest.mark.slow)], ids=["default", "spawn"]
)
def runs(request, tmp_path_factory):
    """A script, its plain run, and the one that was recorded."""
    script = write(tmp_path_factory.mktemp("trace"), workers=request.param)
    return script, plain_run(script, "--lr", "3"), traced_run(script, "--lr", "3")


def test_output_arguments_input_and_losses_are_those_of_a_plain_run(runs):
    _, plain, traced = runs
    assert plain.returncode == traced.returncode == 0
    assert traced.stdout == plain.stdout
    assert "['--lr', '3'] a line" in traced.stdout


def test_every_loader_is_recorded_by_where_it_is_made_and_how_long_the_training_waited_for_it(runs, request):
    script, _, traced = runs
    document = document_of(script)
    assert document["kind"] == "trace"
    assert document["recommendation"] is None
    lines = script.read_text().splitlines()
    workers = 1 if "spawn" in request.node.name else 2
    names = [f"train.py:{1 + next(number for number, line in enumerate(lines) if text in line)}" for text in ("train = ", "test = ")]
    assert [loader["name"] for loader in document["loaders"]] == names
    assert [(loader["batches"], loader["num_workers"], loader["batch_size"]) for loader in document["loaders"]] == [
        (16, workers, 8),
        (4, 0, 8),
    ]
    assert [[epoch["batches"] for epoch in loader["epochs"]] for loader in document["loaders"]] == [[8, 8], [2, 2]]
    training = document["training"]
    assert (training["exit_status"], training["batches"]) == (0, 20)
    assert 0.03 < document["loaders"][1]["wait_s"] < training["exposed_s"] < training["seconds"]  # 32 samples of 1 ms
    assert training["exposed_s"] == pytest.approx(sum(loader["wait_s"] for loader in document["loaders"]))
    assert document["summary"].startswith("The training waited for data for ")
    assert document["summary"] in " ".join(traced.stderr.split())


@pytest.mark.parametrize(
    "end",
    ["os._exit(5)", "raise ValueError('boom')", "__import__('ctypes').string_at(0)", "break"],
)
def test_a_training_ends_as_without_us_and_what_happened_before_is_kept(tmp_path, end):
    script = write(tmp_path, end)
    plain, traced = plain_run(script), traced_run(script)
    assert traced.returncode == (plain.returncode if plain.returncode >= 0 else 128 - plain.returncode)
    assert traced.stdout == plain.stdout
    assert traced.stderr.startswith(plain.stderr)
    document = document_of(script)
    assert document["training"]["exit_status"] == plain.returncode
    assert document["loaders"][0]["batches"] == 14


OPTIMIZED = """
    import torch
    from torch.utils.data import DataLoader

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(), torch.nn.Linear(4, 1))
    plain, compiled = torch.optim.AdamW(model.parameters(), fused=True), torch.optim.SGD(model.parameters(), lr=0.1)
    step = torch.compile(lambda: compiled.step(), backend="eager") if {compiles} else lambda: None
    for batch in DataLoader(torch.rand(64, 4), batch_size=8, shuffle=True):
        loss = model(batch).square().mean()
        loss.backward()
        plain.step()
        step()
        plain.zero_grad()
        print(float(loss.detach()).hex())
    if {compiles}:
        import torch._dynamo.utils
        print({{name: dict(torch._dynamo.utils.counters[name]) for name in ("graph_break", "resumes", "stats")}})
"""


@pytest.mark.parametrize("compiles", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_steps_of_optimizers_are_marked_and_change_neither_losses_nor_what_dynamo_compiles(tmp_path, compiles):
    script = write_script(tmp_path, OPTIMIZED.format(compiles=compiles), "train.py")
    plain, traced = plain_run(script), traced_run(script)
    assert (traced.returncode, traced.stdout) == (0, plain.stdout)
    warnings = [re.findall(r"^[WE]\d+ .*\] (.*)", run.stderr, re.MULTILINE) for run in (plain, traced)]  # torch's own, without times
    assert warnings[0] == warnings[1]
    with SessionFile.open(tmp_path / "train.trace.loaderscope") as session:
        points = session.trace(0).points[MAIN].view()
    steps = points["time_ns"][points["state"] == State.OPTIMIZER_STEP]
    assert len(steps) == 8  # those of the plain one; a compiled step holds nothing of ours
    assert (points["batch"][points["state"] == State.OPTIMIZER_STEP] == -1).all()


WAITING_FOR_SIGNAL = """
    import sys
    import time
    from torch.utils.data import DataLoader

    class Slow(list):
        def __getitem__(self, index):
            time.sleep(0.001)
            return index

    if __name__ == "__main__":
        try:
            for number, _ in enumerate(DataLoader(Slow(range(1_000_000)), batch_size=8, num_workers=1)):
                if number == 10:
                    print("goes on", flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of a terminal")
@pytest.mark.parametrize(("number", "to_all", "status"), [(signal.SIGINT, True, 7), (signal.SIGTERM, False, 143)])
def test_signals_reach_the_script_as_without_us(tmp_path, number, to_all, status):
    script = write_script(tmp_path, WAITING_FOR_SIGNAL, "train.py")
    command = [sys.executable, "-m", "loaderscope", "trace", str(script)]
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=stdout, stderr=stderr, start_new_session=True)
    assert until(lambda: "goes on" in out.read_text(), 30), err.read_text()
    if to_all:
        os.killpg(process.pid, number)  # as a terminal does at Ctrl+C
    else:
        process.send_signal(number)
    assert process.wait(30) == status, err.read_text()
    assert out.read_text() == "goes on\n" + ("interrupted\n" if to_all else "")
    assert document_of(script)["loaders"][0]["batches"] > 10
    assert until(lambda: nothing_left_of(process.pid))


REPORTING_SIGNALS = """
    import signal
    import sys
    from torch.utils.data import DataLoader

    def report(number, frame):
        print("got", signal.Signals(number).name, flush=True)
        sys.exit(7)

    print([signal.getsignal(number) == signal.SIG_IGN for number in (signal.SIGINT, signal.SIGHUP)])
    for number in {handled}:
        signal.signal(number, report)
    while True:
        for _ in DataLoader(range(100)):
            pass
        print("goes on", flush=True)
"""


def signalled_run(tmp_path, number, to_all, handled, ignored=()):
    """Sends a signal to a traced script that has begun; returns the exit status and what the script printed at its start and end."""
    script = write_script(tmp_path, REPORTING_SIGNALS.replace("{handled}", str([int(one) for one in handled])), "train.py")
    out = tmp_path / "out.txt"
    command = [sys.executable, "-m", "loaderscope", "trace", str(script)]
    previous = {one: signal.signal(one, signal.SIG_IGN) for one in ignored}  # inherited, as under nohup
    try:
        with out.open("w") as stdout:
            process = subprocess.Popen(command, cwd=tmp_path, stdout=stdout, stderr=subprocess.DEVNULL, start_new_session=True)
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
    assert until(lambda: "goes on" in out.read_text(), 30)
    (os.killpg if to_all else os.kill)(process.pid, number)
    status = process.wait(30)
    first, *_, last = out.read_text().splitlines()
    return status, first, last[last.index("got") :]  # the signal may come before a line has ended


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    ("name", "to_all"),
    [
        ("SIGHUP", True),
        pytest.param("SIGQUIT", True, marks=pytest.mark.slow),
        ("SIGUSR1", False),
        pytest.param("SIGUSR2", False, marks=pytest.mark.slow),
    ],
)
def test_the_script_handles_a_signal_and_what_was_recorded_is_kept(tmp_path, name, to_all):
    number = getattr(signal, name)
    assert signalled_run(tmp_path, number, to_all, [number]) == (7, "[False, False]", f"got {name}")
    assert document_of(tmp_path / "train.py")["loaders"][0]["batches"] >= 100


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_script_inherits_that_signals_are_ignored(tmp_path):
    ignored = (signal.SIGINT, signal.SIGHUP)
    assert signalled_run(tmp_path, signal.SIGTERM, False, [signal.SIGTERM], ignored) == (7, "[True, True]", "got SIGTERM")


SHORT_STREAM = """
    import warnings
    from torch.utils.data import DataLoader, IterableDataset

    class Stream(IterableDataset):
        def __len__(self):
            return 4
        def __iter__(self):
            return iter(range(8))

    if __name__ == "__main__":
        warnings.simplefilter("error")
        print(len(list(DataLoader(Stream(), batch_size=1))))
"""


@pytest.mark.slow
def test_a_stream_that_is_longer_than_it_says_gets_no_warning_because_of_us(tmp_path):
    traced = traced_run(write_script(tmp_path, SHORT_STREAM, "train.py"))
    assert (traced.returncode, traced.stdout) == (0, "8\n"), traced.stderr


THREADED = """
    import queue
    import threading
    from torch.utils.data import DataLoader

    class Threaded(DataLoader):
        def __iter__(self):
            batches = queue.Queue(2)
            def read():
                for batch in super(Threaded, self).__iter__():
                    batches.put(batch)
                batches.put(None)
            threading.Thread(target=read).start()
            return iter(batches.get, None)

    print(sum(1 for _ in Threaded(range(64), batch_size=8)))
"""


def test_how_long_a_training_waited_for_a_loader_in_a_thread_is_unknown(tmp_path):
    script = write_script(tmp_path, THREADED, "train.py")
    traced = traced_run(script)
    assert (traced.returncode, traced.stdout) == (0, "8\n")
    document = document_of(script)
    assert document["loaders"][0]["wait_s"] is None
    assert "unknown" in document["summary"]


FAULTY = """
    import sys
    from torch.utils.data import DataLoader

    def fail(*arguments):
        raise ValueError("a fault of ours")

    if __name__ == "__main__":
        loader = DataLoader(range(40), batch_size=2, num_workers=1)
        for epoch in range(3):
            for number, batch in enumerate(loader):
                print(epoch, number, batch)
                if (epoch, number) == (1, 5) and "_loaderscope_agent" in sys.modules:
                    import _loaderscope_agent.loader_recording
                    import _loaderscope_agent.main_hooks
                    setattr({owner}, "{name}", fail)
        raise KeyError("of the script")
"""


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *(
            pytest.param("_loaderscope_agent.loader_recording.LoaderRecording", name, marks=pytest.mark.slow)
            for name in ("begin_step", "end_step", "end_epoch", "begin_epoch")
        ),
        ("_loaderscope_agent.main_hooks.internals", "delivered_batch"),
    ],
)
def test_a_fault_of_a_hook_ends_the_recording_and_not_the_training(tmp_path, owner, name):
    script = write_script(tmp_path, FAULTY.format(owner=owner, name=name), "train.py")
    plain, traced = plain_run(script), traced_run(script)
    assert (traced.returncode, traced.stdout) == (plain.returncode, plain.stdout)
    lines = traced.stderr.split("\n")
    fault = [line for line in lines if "a fault of ours" in line]
    assert len(fault) == 1 and "not recorded any more" in fault[0]
    assert "\n".join(line for line in lines if line not in fault).startswith(plain.stderr)
    assert 26 <= document_of(script)["loaders"][0]["batches"] <= 40


LEFT_BY_AN_ERROR = """
    import gc
    from torch.utils.data import DataLoader

    def fail(samples):
        gc.collect()
        raise ValueError(samples)

    gc.disable()
    loader = DataLoader(range(8), batch_size=2, num_workers=1, collate_fn=fail)
    for epoch in range(2):  # the forked worker of the second epoch collects the iterator of the first
        try:
            for batch in loader:
                pass
        except ValueError as error:
            error.itself = error
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or sys.version_info < (3, 11), reason="workers are forked; frames can be hidden")
def test_tracebacks_of_iterators_that_forked_workers_collect_hold_nothing_of_ours(tmp_path):
    script = write_script(tmp_path, LEFT_BY_AN_ERROR, "train.py")
    plain, traced = plain_run(script), traced_run(script)
    assert "can only test a child process" in plain.stderr and "can only test a child process" in traced.stderr
    assert "main_hooks" not in traced.stderr


DELETED = """
    import sys
    from torch.utils.data import DataLoader

    def note(frame, event, argument):
        if event == "call":
            calls.append(frame.f_code.co_name)

    calls = []
    loader = DataLoader(range(4))
    for _ in loader:
        pass
    sys.setprofile(note)
    del loader
    sys.setprofile(None)
    print(calls)
"""


@pytest.mark.slow
def test_no_code_of_ours_in_which_a_signal_could_get_lost_runs_when_a_loader_is_deleted(tmp_path):
    traced = traced_run(write_script(tmp_path, DELETED, "train.py"))
    assert (traced.returncode, traced.stdout) == (0, "[]\n"), traced.stderr


TIMED_OUT = """
    import signal
    import sys
    from torch.utils.data import DataLoader

    class Late(Exception):
        pass

    def raise_late(number, frame):
        raise Late()

    def time_out(*arguments):
        setattr(owner, name, original)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, raise_late)
    loader = DataLoader(range(40), batch_size=2)
    print(len(list(loader)))
    if "_loaderscope_agent" in sys.modules:
        import _loaderscope_agent.process_recording
        owner, name = _loaderscope_agent.process_recording.{owner}, "{name}"
        original = getattr(owner, name)
        setattr(owner, name, time_out)
    try:
        for batch in loader:
            pass
        signal.raise_signal(signal.SIGINT)
    except Late:
        print("late")
    print(len(list(loader)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("LoaderRecording", "begin_step"),
        pytest.param("LoaderRecording", "end_step", marks=pytest.mark.slow),
        pytest.param("LoaderRecording", "begin_epoch", marks=pytest.mark.slow),
        ("ProcessRecording", "_recording_of"),
    ],
)
def test_an_exception_of_a_signal_handler_that_runs_within_a_hook_reaches_the_script(tmp_path, owner, name):
    script = write_script(tmp_path, TIMED_OUT.replace("{owner}", owner).replace("{name}", name), "train.py")
    traced = traced_run(script)
    assert (traced.returncode, traced.stdout) == (0, "20\nlate\n20\n"), traced.stderr
    assert "not recorded any more" not in traced.stderr
    assert document_of(script)["loaders"][0]["batches"] >= 40


FULL_DISK = """
    import resource
    from torch.utils.data import DataLoader

    if __name__ == "__main__":
        loader = DataLoader(range(6_000), batch_size=1, num_workers={workers})
        count = 0
        for batch in loader:
            count += 1
            if count == {full_after}:
                resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        print(count, sum(1 for batch in DataLoader(range(8))))
        raise SystemExit(5)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes")
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_full_disk_ends_the_recording_and_not_the_training(tmp_path, workers):
    script = write_script(tmp_path, FULL_DISK.format(workers=workers, full_after=100), "train.py")
    plain, traced = plain_run(script), traced_run(script)
    assert (traced.returncode, traced.stdout) == (plain.returncode, plain.stdout) == (5, "6000 8\n")
    assert "ended early" in traced.stderr
    loader, *others = document_of(script)["loaders"]
    assert 100 < loader["batches"] < 6_000
    assert not others
    assert "not recorded any more" in traced.stderr  # the log of the second loader could not even be made


OUTLIVING = """
    import os
    import sys
    import time
    from torch.utils.data import DataLoader
    parent = os.getppid()
    for number, _ in enumerate(DataLoader(range(1_000_000), batch_size=1)):
        if number == 0:
            print(parent, flush=True)
        if not os.path.exists(f"/proc/{parent}"):
            break
    rest = sum(1 for _ in DataLoader(range(100), batch_size=10))
    is_there = os.path.exists(os.path.dirname(os.environ["LOADERSCOPE_RECORD"]))
    open("done.txt", "w").write(f"{rest} {is_there}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="who is the parent of an orphan")
def test_a_killed_app_ends_the_recording_and_not_the_training(tmp_path):
    script = write_script(tmp_path, OUTLIVING, "train.py")
    with (tmp_path / "out.txt").open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "loaderscope", "trace", str(script)], cwd=tmp_path, stdout=out, stderr=out)
    assert until(lambda: (tmp_path / "out.txt").read_text().strip() == str(process.pid), 30)
    process.kill()
    process.wait()
    assert until(lambda: (tmp_path / "done.txt").exists() and (tmp_path / "done.txt").read_text() == "10 False", 30)


def notebook_of(tmp_path, *cells):
    (tmp_path / "lessons").mkdir()
    path = tmp_path / "lessons" / "train.ipynb"
    path.write_text(notebook_text(*(textwrap.dedent(cell) for cell in cells)))
    return path


CELLS = (
    """
        %matplotlib inline
        import sys
        from torch.utils.data import DataLoader, Dataset

        class Squares(Dataset):
            def __len__(self):
                return 12
            def __getitem__(self, index):
                return index ** 2
    """,
    """
        loader = DataLoader(Squares(), batch_size=2, num_workers=1, multiprocessing_context="spawn")
        for batch in loader:
            print(int(batch.sum()))
        print(sys.argv[1:], open("train.ipynb").read(1))
    """,
)


def test_a_notebook_runs_in_its_folder_and_its_loaders_are_recorded(tmp_path):
    notebook_of(tmp_path, *CELLS)
    traced = run(tmp_path, "-m", "loaderscope", "trace", "lessons/train.ipynb", "--", "--lr", "3")
    assert traced.returncode == 0, traced.stderr
    assert traced.stdout.split("\n") == ["1", "13", "41", "85", "145", "221", "['--lr', '3'] {", ""]
    assert "1 line of magics" in traced.stderr
    (loader,) = read_document(tmp_path / "train.trace.loaderscope")["loaders"]
    assert (loader["name"], loader["batches"], loader["num_workers"]) == ("train.ipynb, cell 2:2", 6, 1)


def test_an_exception_in_a_notebook_shows_its_cells_alone(tmp_path):
    notebook_of(tmp_path, "def fail():\n    raise ValueError('wrong')", "fail()")
    traced = run(tmp_path, "-m", "loaderscope", "trace", "lessons/train.ipynb")
    assert traced.returncode == 1
    files = re.findall(r'File "(.*)", line (\d+), in (.*)', traced.stderr)
    assert [(os.path.basename(file), line, function) for file, line, function in files] == [
        ("train.ipynb, cell 2", "1", "<module>"),
        ("train.ipynb, cell 1", "2", "fail"),
    ]


def test_a_script_sees_its_path_as_it_was_typed(tmp_path):
    write_script(tmp_path / "code", "import sys; print(sys.argv, __file__)", "train.py")
    plain, traced = run(tmp_path, "code/train.py"), run(tmp_path, "-m", "loaderscope", "trace", "code/train.py")
    assert traced.stdout == plain.stdout


def test_a_script_without_a_loader_runs_and_is_told(tmp_path):
    script = write_script(tmp_path, "import sys; print('ran'); sys.exit(4)", "train.py")
    traced = traced_run(script)
    assert (traced.returncode, traced.stdout) == (4, "ran\n")
    assert "no DataLoader" in traced.stderr
    assert not list(tmp_path.glob("*.loaderscope"))


def test_with_json_the_output_of_the_script_goes_to_standard_error(tmp_path):
    script = write_script(tmp_path, "from torch.utils.data import DataLoader; print(list(DataLoader(range(4))))", "train.py")
    traced = traced_run(script, options=["--json"])
    assert json.loads(traced.stdout)["kind"] == "trace"
    assert "tensor([3])" in traced.stderr
    assert traced.returncode == 0


def test_an_output_that_cannot_be_written_is_told_before_anything_runs(tmp_path):
    script = write(tmp_path)
    traced = traced_run(script, options=["-o", str(tmp_path / "missing" / "a.loaderscope")])
    assert (traced.returncode, traced.stdout) == (2, "")
    (tmp_path / "train.trace.loaderscope").write_bytes(b"")
    again = traced_run(script)
    assert again.returncode == 2 and "exists" in again.stderr
