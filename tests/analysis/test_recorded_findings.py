"""Findings about the loaders of a recorded training: no other setting to compare with, and a line of the script to change."""

import dataclasses
import re

from rows import config_of, made_up, measure
from synthetic import MS

from loaderscope.agent.messages import Target
from loaderscope.analysis.verdict import judge
from loaderscope.facts.evidence import Disturbance, Signs
from loaderscope.facts.recorded_use import LoaderUse
from loaderscope.facts.request import Request
from loaderscope.facts.results import EpochTimes
from loaderscope.facts.run import Run
from loaderscope.facts.startup_results import Culprit, Startup


def use(line=87, exposed_s=40.0, training_s=100.0, optimizer_steps=None):
    return LoaderUse(f"/a/train.py:{line}", None, "DataLoader", "Data", None, 11, exposed_s, training_s, 0, exposed_s, optimizer_steps)


def findings_of(*results, request=None, usable_cpus=8):
    target = Target("training", "captured", "DataLoader", "captured")
    run = Run(request or Request("/a/train.py"), {"usable_cpus": usable_cpus}, target, "/a/train.py", None, [])
    return judge(run, results).findings


def finding_of(code, *results, **options):
    (found,) = [finding for finding in findings_of(*results, **options) if finding.code == code]
    return found


def waiting(number=0, workers=0, cpu_share=0.9, loader=None, **fields):
    config = config_of(workers) if workers else config_of(0)
    signs = Signs(fetch_s=0.1, fetch_cpu_share=cpu_share)
    return made_up(number, config, 100, wait_share=0.9, step_share=0.1, signs=signs, loader=loader or use(), **fields)


def test_the_remedy_of_a_slow_input_is_a_change_of_the_line_that_makes_the_loader():
    none = finding_of("input-bound", waiting())
    assert none.message.startswith("train.py:87: With your current setting (0 workers")
    assert "num_workers=4" in none.advice and "train.py:87" in none.advice
    some = finding_of("input-bound", waiting(workers=2))
    assert "num_workers=2" in some.advice and "train.py:87" in some.advice
    all_cores = finding_of("input-bound", waiting(workers=8))
    assert "num_workers" not in all_cores.advice
    waits = finding_of("input-bound", waiting(workers=8, cpu_share=0.1))
    assert "num_workers=8" in waits.advice and "10 %" in waits.advice


def test_the_command_that_tries_settings_is_given_for_the_loader_that_trains():
    train, test = waiting(0, loader=use(87, optimizer_steps=5)), waiting(1, loader=use(90), batches=9999)
    found = {finding.message.partition(": ")[0]: finding.advice for finding in findings_of(train, test)}
    assert "loaderscope run train.py" in found["train.py:87"]
    assert "loaderscope run" not in found["train.py:90"]
    module = Request("/a/package/train.py", module="package.train", script_args=("--token", "abc"))
    advice = finding_of("input-bound", train, request=module).advice
    assert "loaderscope run -m package.train" in advice
    assert "abc" not in advice


def test_a_loader_for_which_the_training_hardly_waited_gets_no_warning():
    assert finding_of("input-bound", waiting(loader=use(exposed_s=40.0))).severity == "warning"
    rare = finding_of("input-bound", waiting(loader=use(exposed_s=1.0)))
    assert rare.severity == "info"
    assert "1 %" in rare.message


def test_warnings_about_any_loader_come_before_other_findings():
    severities = [finding.severity for finding in findings_of(waiting(0, loader=use(exposed_s=1.0)), waiting(1, loader=use(90)))]
    assert severities == ["warning", "info"]


def test_starts_of_workers_are_counted_over_the_epochs_that_ran():
    epochs = [EpochTimes(2.0, 10.0, 0.5, 100, 12.5) for _ in range(8)]
    startup = Startup(1.0, Culprit("boot", "an interpreter with torch", 1.5), [])
    row = made_up(0, config_of(2), 320, first_batch_s=2.0, startup=startup, loader=use(training_s=200.0))
    row = dataclasses.replace(row, epochs=epochs, first_batch_s=2.0)
    found = finding_of("start-up-every-epoch", row)
    assert "20.0 s of 8 epochs (10 % of the training)" in found.message
    assert "persistent_workers=True at train.py:87" in found.advice


def test_a_disturbed_recording_is_to_be_recorded_again():
    disturbance = Disturbance("steady", 5.0, 2, 1.5, None, 1.5, True)
    found = finding_of("disturbed", waiting(disturbance=disturbance))
    assert "record the training again" in found.advice
    assert "trial" not in found.message


def test_batches_that_nobody_counted_were_not_all_dropped():
    row = made_up(0, config_of(2), 320, samples=None, loader=use())
    row = dataclasses.replace(row, samples=None, batches=10, dropped_samples=32)
    assert "10 %" not in finding_of("dropped-samples", row).message
    assert "no batch" not in finding_of("dropped-samples", row).message
    assert "drop_last=False at train.py:87" in finding_of("dropped-samples", row).advice


def test_more_workers_than_cores_are_named():
    assert finding_of("more-workers-than-cores", waiting(workers=4), usable_cpus=2).message.startswith("train.py:87: Your current setting")


def test_no_finding_of_a_recording_speaks_of_sweeps_or_recommendations():
    slow_start = dataclasses.replace(
        measure(100, num_workers=2, start_method="spawn", startup_ns=3000 * MS, start_ns=400 * MS, epochs=3, length=3200), loader=use()
    )
    texts = [
        f"{finding.message} {finding.advice}".partition(" Try settings: ")[0]
        for finding in (
            *findings_of(waiting(disturbance=Disturbance("steady", 5.0, 2, 1.5, None, 1.5, True))),
            *findings_of(waiting(workers=4), usable_cpus=2),
            *findings_of(slow_start),
        )
    ]
    assert len(texts) >= 4
    assert not [text for text in texts if re.search(r"sweep|recommend|measured setting|other setting|trial|--", text)]
