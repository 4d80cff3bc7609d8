"""The options of `run` become the request that they describe."""

import argparse
import pathlib

import pytest

from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.facts.request import Axes, Request
from loaderscope.sweep import options


def request(*arguments: str, script_args: tuple[str, ...] = ()) -> Request:
    parser = argparse.ArgumentParser()
    parser.add_argument("--target")
    options.add_run_options(parser)
    return options.request_from(parser.parse_args(arguments), pathlib.Path("train.py"), script_args)


def test_without_options_the_request_has_the_documented_defaults() -> None:
    made = request()
    assert made == Request(script=str(pathlib.Path("train.py").absolute()), cwd=made.cwd)


def test_axes_take_values_between_commas_and_count_each_once() -> None:
    made = request("--num-workers", "0,4, 2,4", "--pin-memory", "on,off", "--start-method", "spawn,fork", "--in-order", "off")
    assert made.axes == Axes(num_workers=(0, 4, 2), pin_memory=(True, False), start_method=("spawn", "fork"), in_order=(False,))


def test_every_other_option_arrives() -> None:
    made = request(
        *("--target", "data", "--batches", "all", "--epochs", "2", "--repeats", "3", "--shuffle", "off", "--seed", "7"),
        *(
            "--train-epochs",
            "90",
            "--step",
            "burn:2.5",
            "--device",
            "cuda:1",
            "--h2d",
            "overlapped",
            "--gpu-window",
            "20",
            "--max-seconds",
            "60",
        ),
        *("--timeout", "5", "--load-timeout", "9", "--no-probe", "--force", "--isolate", "--python", "/usr/bin/python3"),
        *("--env", "DATA_ROOT=/data", "--env", "OPTIONS=a=b", "--env", "EMPTY=", "--cwd", "data"),
        *("--arg", "root=a=b", "--arg", "size=3", "--forkserver-preload", "torch,torch.utils.data"),
        script_args=("--epochs", "1"),
    )
    assert made == Request(
        script=made.script,
        cwd=str(pathlib.Path("data").absolute()),
        target="data",
        batches=None,
        epochs=2,
        repeats=3,
        shuffle=False,
        seed=7,
        train_epochs=90,
        consumer=Consumer("burn", 2.5),
        device="cuda:1",
        h2d="overlapped",
        gpu_window=20,
        max_seconds=60.0,
        timeout_s=5.0,
        load_timeout_s=9.0,
        probe=False,
        force=True,
        isolate=True,
        python="/usr/bin/python3",
        arguments={"root": "a=b", "size": "3"},
        environment_variables={"DATA_ROOT": "/data", "OPTIONS": "a=b", "EMPTY": ""},
        forkserver_preload=("torch", "torch.utils.data"),
        script_args=("--epochs", "1"),
    )


def test_a_setting_has_torchs_defaults_where_nothing_is_said() -> None:
    assert options.setting("num_workers=2,pin_memory=on") == TrialConfig(
        2, prefetch_factor=2, pin_memory=True, persistent_workers=False, in_order=True, backend="process"
    )
    assert options.setting("num_workers=0") == TrialConfig(0)


@pytest.mark.parametrize("text", ["sleep:", "sleep:-1", "sleep:inf", "none:3", "dream:1"])
def test_a_consumer_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        options.consumer(text)


def test_a_training_is_as_long_as_its_batches_or_as_its_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    assert request("--train-batches", "5000").train_batches == 5000
    with pytest.raises(SystemExit):
        request("--train-batches", "5000", "--train-epochs", "3")
    assert "--train-epochs" in capsys.readouterr().err
