"""The loader with which a script trains is found before anything trains: each script writes a file at its first optimizer step."""

import dataclasses
import os
import pathlib
import signal
import textwrap

import pytest
from running import request, until

from loaderscope.agent.messages import LOOK, LOOK_AT_ALL, CapturedLoader, Consumer, ErrorInfo, TrialConfig
from loaderscope.sweep.inspect_script import inspect_script, probe_target
from loaderscope.sweep.ready_agent import SweepError

SCRIPT = """
import os, sys
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

class Writing(torch.optim.SGD):
    def step(self, closure=None):
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "trained"), "w"):
            pass
        return super().step(closure)

def data(length):
    return TensorDataset(torch.zeros(length, 3))

def step(batch):
    loss = model(batch[0]).sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

model = torch.nn.Linear(3, 1)
optimizer = Writing(model.parameters(), lr=0.1)
if __name__ == "__main__":
"""


def script_with(main: str, before: str = "") -> str:
    """A script with these lines in its main block, and others in front of it."""
    head, guard, _ = SCRIPT.partition("if __name__")
    return head + textwrap.dedent(before) + guard + ' == "__main__":\n' + textwrap.indent(textwrap.dedent(main), "    ")


@pytest.fixture
def choose(start_agent, write, tmp_path):
    """Returns what the look at a script chose, and whether the agent stands there ("loaded") or the app must start again ("again")."""

    def look(text: str, capture: str = LOOK) -> tuple[str, CapturedLoader]:
        agent = start_agent()
        answer = agent.ask("load", script=str(write(text)), args=[], cwd=str(tmp_path), capture=capture)
        assert not isinstance(answer, ErrorInfo), answer.message
        captured = answer["targets"][0]["captured"] if answer["type"] == "loaded" else answer["captured"]
        assert agent.close() == []
        assert not (tmp_path / "trained").exists()
        return answer["type"], CapturedLoader.from_json(captured)

    return look


def met_lengths(captured: CapturedLoader) -> list[int | None]:
    return [loader.length for loader in captured.met]


def test_a_loader_whose_loop_trains_is_captured_at_its_first_iteration(choose):
    kind, captured = choose(script_with("for batch in DataLoader(data(40), 4):\n    step(batch)\n"))
    assert (kind, captured.number, met_lengths(captured)) == ("loaded", 0, [40])
    assert "backward()" in captured.why


@pytest.mark.slow
def test_a_training_loop_that_takes_its_batches_by_next_is_seen(choose):
    main = """
    check = DataLoader(data(5), 5)
    train = DataLoader(data(40), 4)
    for batch in check:
        print
    batches = iter(train)
    for number in range(4):
        step(next(batches))
    """
    _, captured = choose(script_with(main))
    assert (captured.number, captured.chosen.length) == (1, 40)


def test_an_evaluation_without_gradients_is_let_through_and_listed(choose):
    main = """
    with torch.no_grad():
        for batch in DataLoader(data(8), 4, shuffle=True):
            model(batch[0])
    for batch in DataLoader(data(40), 4):
        step(batch)
    """
    kind, captured = choose(script_with(main))
    assert (kind, captured.number, met_lengths(captured)) == ("loaded", 1, [8, 40])
    evaluated = captured.met[0]
    assert any("gradients are off" in clause for clause in evaluated.evidence)
    assert any("2 batches" in clause for clause in evaluated.evidence)
    assert evaluated.shuffles is True


def test_a_batch_that_is_looked_at_is_no_training(choose):
    """MONAI's examples check one batch of a loader of its own."""
    main = """
    first = next(iter(DataLoader(data(40), 2, shuffle=True)))
    for batch in DataLoader(data(41), 2, shuffle=True):
        break
    train = DataLoader(data(42), 4)
    for batch in train:
        step(batch)
    """
    _, captured = choose(script_with(main))
    assert (captured.number, met_lengths(captured)) == (2, [40, 41, 42])


@pytest.mark.parametrize(
    "check",
    [
        "for batch in itertools.islice(DataLoader(data(40), 2), 2):\n    print",
        "list(itertools.islice(DataLoader(data(40), 2), 2))",
        "for number, batch in enumerate(DataLoader(data(40), 2)):\n    if number >= 1:\n        break",
    ],
    ids=["loop over a slice", "list of a slice", "counted break"],
)
def test_a_loop_that_ends_after_few_batches_is_no_training(choose, check):
    _, captured = choose(script_with("import itertools\n" + check + "\nfor batch in DataLoader(data(4), 4):\n    step(batch)\n"))
    assert (captured.number, met_lengths(captured)) == (1, [40, 4])
    assert any("first batches" in clause for clause in captured.met[0].evidence)


@pytest.mark.slow
def test_a_loader_that_was_looked_at_first_is_captured_when_it_trains(choose):
    main = """
    train = DataLoader(data(40), 4)
    print(next(iter(train)))
    other = DataLoader(data(400), 4)
    for batch in train:
        step(batch)
    """
    _, captured = choose(script_with(main).replace("print(next", "(next"))
    assert (captured.number, met_lengths(captured)) == (0, [40])


@pytest.mark.parametrize("better", ["DataLoader(data(10), 4, shuffle=True)", "DataLoader(data(40), 4)"], ids=["shuffles", "larger"])
def test_without_evidence_a_better_loader_that_is_made_is_waited_for(choose, better):
    # the first has exactly as many batches as a look lets through
    main = f"train = {better}\n" + "for batch in DataLoader(data(10), 1):\n    print\nfor batch in train:\n    print\n"
    kind, captured = choose(script_with(main))
    assert (kind, captured.number) == ("loaded", 1)
    assert "another loader is made" in " ".join(captured.met[0].evidence)


def test_a_loop_that_does_not_train_is_let_through_where_other_code_trains(choose):
    """A validation that leaves gradients on, over a loader that is made as the other."""
    before = "def validate(loader):\n    for batch in loader: model(batch[0])\n"
    main = """
    train = DataLoader(data(40), 4)
    validate(DataLoader(data(39), 4))
    for batch in train:
        loss = model(batch[0]).sum()
        loss.backward()
    """
    kind, captured = choose(script_with(main, before))
    assert (kind, captured.number, met_lengths(captured)) == ("loaded", 1, [39, 40])


def test_without_evidence_and_without_a_better_loader_the_first_is_captured(choose):
    main = "later = DataLoader(data(39), 4)\n" + "for batch in DataLoader(data(10), 4):\n    print\nfor batch in later:\n    print\n"
    kind, captured = choose(script_with(main).replace("    loss.backward()\n", ""))
    assert (kind, captured.number) == ("loaded", 0)


LIGHTNING = {
    "trainer/trainer.py": """
        from lightning.pytorch.loops import evaluation_loop, fit_loop
        def fit(train, validation, step):
            _run_sanity_check(validation)
            fit_loop.advance(train, step)
        def _run_sanity_check(loader):
            evaluation_loop.run(loader)
        """,
    "loops/evaluation_loop.py": """
        def run(loader):
            batches = iter(loader)
            next(batches), next(batches)
        """,
    "loops/fit_loop.py": """
        def advance(loader, step):
            for batch in loader:
                step(batch)
        """,
}


def test_the_sanity_check_of_lightning_is_let_through(choose, write):
    for name in ("", "pytorch/", "pytorch/trainer/", "pytorch/loops/"):
        write("", f"lightning/{name}__init__.py")
    for name, text in LIGHTNING.items():
        write(text, f"lightning/pytorch/{name}")
    main = "fit(DataLoader(data(40), 4), DataLoader(data(39), 4, shuffle=True), step)\n"
    _, captured = choose(script_with(main, "from lightning.pytorch.trainer.trainer import fit\n"))
    assert (captured.number, met_lengths(captured)) == (1, [39, 40])
    assert "sanity check" in " ".join(captured.met[0].evidence)
    assert "Lightning's training" in captured.why


@pytest.mark.slow
def test_of_two_training_loaders_the_first_is_taken(choose):
    main = "for real, fake in zip(DataLoader(data(40), 4), DataLoader(data(41), 4)):\n    step(real)\n"
    _, captured = choose(script_with(main))
    assert captured.chosen.length == 40


@pytest.mark.parametrize(
    "loop", ["for batch in main:", pytest.param("for _ in range(2):\n  for batch, _ in zip(main, range(9)):", marks=pytest.mark.slow)]
)
def test_a_loader_beside_the_one_that_the_training_loop_iterates_is_let_through(choose, loop):
    lines = ["side = DataLoader(data(8), 4, shuffle=True)", "main = DataLoader(data(40), 4, shuffle=True)", "others = iter(side)"]
    text = script_with("\n".join([*lines, loop, "    next(others)", "    step(batch)"]))
    kind, captured = choose(text)
    assert (kind, captured.number, met_lengths(captured)) == ("loaded", 1, [8, 40])
    assert any("beside" in clause for clause in captured.met[0].evidence)


LONG_VALIDATION = """
with torch.no_grad():
    for batch in DataLoader(data(200), 4):
        model(batch[0])
for batch in DataLoader(data(40), 4):
    step(batch)
"""


def test_a_long_validation_ends_the_look_and_is_captured(choose):
    kind, captured = choose(script_with(LONG_VALIDATION))
    assert (kind, captured.number, met_lengths(captured)) == ("again", 0, [200])
    assert "10 batches" in captured.why


def test_a_long_validation_is_passed_where_a_loader_that_shuffles_is_made(choose):
    kind, captured = choose(
        script_with("train = DataLoader(data(40), 4, shuffle=True)\n" + LONG_VALIDATION.replace("DataLoader(data(40), 4)", "train"))
    )
    assert (kind, captured.number, met_lengths(captured)) == ("loaded", 1, [200, 40])


def test_an_evaluation_that_a_training_did_not_follow_in_time_is_told_with_the_loader_that_was_awaited(choose):
    main = "train = DataLoader(data(40), 4, shuffle=True)\nwith torch.no_grad():\n    for batch in DataLoader(data(200), 4): pass\n"
    kind, captured = choose(script_with(main))
    assert (kind, captured.number) == ("again", 0)
    assert "--look" in captured.why and "--target" in captured.why


@pytest.mark.parametrize("end", ["", pytest.param("sys.exit(0)", marks=pytest.mark.slow), "raise ValueError('later')"])
def test_where_the_script_only_evaluates_its_first_loader_is_captured_and_this_is_said(choose, end):
    main = "with torch.no_grad():\n    for length in (8, 9):\n        list(DataLoader(data(length), 4))\n" + end + "\n"
    kind, captured = choose(script_with(main))
    assert (kind, captured.number, met_lengths(captured)) == ("again", 0, [8, 9])
    assert "evaluates" in captured.why


def test_where_the_script_only_looks_at_a_batch_this_is_said(choose):
    kind, captured = choose(script_with("next(iter(DataLoader(data(8), 4)))\n"))
    assert (kind, captured.number, met_lengths(captured)) == ("again", 0, [8])
    assert "first batch" in captured.why
    assert "evaluates" not in captured.why


def test_a_step_ends_the_look_at_the_loader_whose_batches_came_before(choose):
    main = """
    def batch_of(loader):
        return next(iter(loader))
    train = DataLoader(data(40), 4)
    list(batch_of(DataLoader(data(8), 4)))
    for number in range(4):
        model(batch_of(train)[0]).sum().backward()
        optimizer.step()
    """
    kind, captured = choose(script_with(main))
    assert (kind, captured.chosen.length, met_lengths(captured)) == ("again", 40, [8, 40])
    assert "step of an optimizer" in captured.why


def test_a_script_that_trains_before_it_iterates_a_loader_is_stopped_there(agent, write, tmp_path):
    main = "step((torch.zeros(1, 3),))\nfor batch in DataLoader(data(8), 4):\n    step(batch)\n"
    failure = agent.load(write(script_with(main)), capture=LOOK)
    assert failure.line == SCRIPT.splitlines().index("    optimizer.step()") + 1
    assert "--target captured:0" in failure.message
    assert not (tmp_path / "trained").exists()


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is no signal to one process there")
def test_ctrl_c_ends_a_script_whose_main_thread_waits_because_the_look_has_ended(agent, write):
    main = """
    import threading
    def train():
        model(torch.zeros(1, 3)).sum().backward()
        optimizer.step()
    with torch.no_grad():
        list(DataLoader(data(4), 4))
    threading.Thread(target=train, daemon=True).start()
    while True:
        with torch.no_grad():
            list(DataLoader(data(4), 4))
    """
    assert agent.ask("load", script=str(write(script_with(main))), capture=LOOK)["type"] == "again"

    def has_ended() -> bool:
        os.kill(agent.process.pid, signal.SIGINT)
        return not agent.process.alive

    assert until(has_ended)


@pytest.mark.slow
def test_a_step_without_gradients_changes_nothing_and_ends_no_look(start_agent, write):
    """Scripts call one before they make a scheduler."""
    main = "torch.optim.SGD(model.parameters(), lr=0.1).step()\nfor batch in DataLoader(data(8), 4):\n    step(batch)\n"
    targets = start_agent().load(write(script_with(main)), capture=LOOK)
    assert targets[0].name == "captured:0"


def in_child(lines: str, start_method: str) -> str:
    """A script that runs these lines in a process of its own."""
    before = "def child():\n" + textwrap.indent(textwrap.dedent(lines), "    ")
    start = f"process = multiprocessing.get_context({start_method!r}).Process(target=child)"
    return script_with(f"import multiprocessing\n{start}\nprocess.start()\nprocess.join()\n", before)


@pytest.fixture(params=[pytest.param("fork", marks=pytest.mark.slow), "spawn"])
def child_start_method(request):
    if request.param == "fork" and os.name == "nt":
        pytest.skip("Windows has no fork")
    return request.param


def test_a_child_lets_an_evaluation_through_and_is_captured_where_it_trains(write, tmp_path, child_start_method):
    lines = """
    train, validation = DataLoader(data(200), 4, shuffle=True), DataLoader(data(16), 4)
    with torch.no_grad():
        list(validation)
    for batch in train:
        step(batch)
    """
    script = write(in_child(lines, child_start_method))
    target = probe_target(dataclasses.replace(request(script), target=None)).target
    assert (target.name, target.length, met_lengths(target.captured)) == ("captured:1", 200, [16, 200])
    assert "process" in target.note
    assert not (tmp_path / "trained").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "name", "length", "why"),
    [
        (LONG_VALIDATION, "captured:0", 200, "10 batches"),
        ("with torch.no_grad():\n    list(DataLoader(data(8), 4))\n", "captured:0", 8, "only loaders that it does not train with"),
        ("batches = list(DataLoader(data(8), 4))\nDataLoader(data(99), 4)\nfor b in batches:\n    step(b)\n", "captured:0", 8, ""),
    ],
    ids=["long validation", "validation only", "trains behind the loop"],
)
def test_a_child_whose_loader_was_passed_is_started_again(write, tmp_path, child_start_method, lines, name, length, why):
    script = write(in_child(lines, child_start_method))
    target = probe_target(dataclasses.replace(request(script), target=None)).target
    assert (target.name, target.length) == (name, length)
    assert why in target.captured.why
    assert not (tmp_path / "trained").exists()


def test_trials_see_the_loader_as_if_nobody_had_looked(agent, write):
    """The hooks of the look are gone: a step works, and iterators give all batches."""
    main = "train = DataLoader(data(200), 4)\nlist(DataLoader(data(4), 4))\nfor batch in train:\n    step(batch)\n"
    text = script_with(main, "def train_step(batch):\n    step(batch)\n")
    agent.load(write(text), capture=LOOK)
    agent.attach("captured:1")
    outcome = agent.trial(TrialConfig(0, 4), Consumer("script"))
    assert not isinstance(outcome, ErrorInfo), outcome.message
    assert outcome.batches == 50


def test_the_script_is_started_again_where_the_look_went_too_far(write, tmp_path):
    script = write(script_with(LONG_VALIDATION))
    probe = probe_target(dataclasses.replace(request(script), target=None))
    assert (probe.target.name, probe.target.length) == ("captured:0", 200)
    assert "10 batches" in probe.target.captured.why
    assert not (tmp_path / "trained").exists()


@pytest.mark.slow
def test_a_longer_look_lists_all_loaders_and_ends_before_the_first_step(write, tmp_path):
    script = write(script_with(LONG_VALIDATION))
    looked_at = inspect_script(dataclasses.replace(request(script), target=None, look_s=60.0)).looked_at
    assert (looked_at.number, met_lengths(looked_at)) == (1, [200, 40])
    assert not (tmp_path / "trained").exists()


@pytest.mark.slow
def test_a_longer_look_ends_when_its_time_is_up(write, tmp_path):
    main = "import time\nlist(DataLoader(data(8), 4))\ntime.sleep(600)\n"
    script = write(script_with(main))
    asked = dataclasses.replace(request(script), target=None, look_s=12.0)
    assert met_lengths(inspect_script(asked).looked_at) == [8]


@pytest.mark.slow
def test_a_look_that_takes_too_long_captures_what_it_has_met(write):
    script = write(script_with("import time\nwith torch.no_grad():\n    list(DataLoader(data(8), 4))\ntime.sleep(600)\n"))
    probe = probe_target(dataclasses.replace(request(script), target=None, load_timeout_s=12.0))
    assert (probe.target.name, probe.target.length) == ("captured:0", 8)
    assert "time" in probe.target.captured.why


def test_a_target_that_the_user_names_is_no_choice(write):
    script = write(script_with("with torch.no_grad():\n    list(DataLoader(data(8), 4))\n"))
    target = probe_target(dataclasses.replace(request(script), target="captured:0")).target
    assert (target.captured.number, target.captured.why) == (0, "the target names it")
    with pytest.raises(SweepError, match="number 1"):
        probe_target(dataclasses.replace(request(script), target="captured:1"))


@pytest.mark.slow
def test_several_loaders_of_a_module_are_told_apart_by_the_one_that_the_script_trains_with(write):
    before = "validation = DataLoader(data(8), 4)\ntraining = DataLoader(data(9), 4)\n"
    main = "with torch.no_grad():\n    list(validation)\nfor batch in training:\n    step(batch)\n"
    target = probe_target(dataclasses.replace(request(write(script_with(main, before))), target=None)).target
    assert (target.name, target.length) == ("captured:1", 9)


@pytest.mark.slow
def test_places_of_a_loader_are_the_users(choose, tmp_path):
    text = script_with("main()\n", "def main():\n    loader = DataLoader(data(8), 4)\n    for batch in loader:\n        step(batch)\n")
    _, captured = choose(text)
    line = text.splitlines().index("    loader = DataLoader(data(8), 4)") + 1
    script = pathlib.Path(tmp_path / "train.py")
    loader = captured.chosen
    assert (loader.made, loader.iterated, loader.function) == (f"{script}:{line}", f"{script}:{line + 1}", "main")
    assert (loader.dataset, loader.batch_size, loader.type_name, loader.shuffles) == ("TensorDataset", 4, "DataLoader", False)


@pytest.mark.slow
def test_a_look_at_all_goes_past_a_loader_that_trains(choose):
    main = "for length in (8, 9):\n    for batch in DataLoader(data(length), 4, shuffle=True):\n        print\n"
    kind, captured = choose(script_with(main), LOOK_AT_ALL)
    assert (kind, met_lengths(captured)) == ("again", [8, 9])
