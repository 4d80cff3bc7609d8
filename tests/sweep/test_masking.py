"""Which values are masked as secrets, and that ordinary messages stay as they are."""

from __future__ import annotations

import string
import timeit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaderscope.facts.request import Request
from loaderscope.session.secret_masking import MASK, holds_mask, is_secret_name, mask_arguments, mask_document, mask_request, mask_text

SECRETS = (
    "token", "HF_TOKEN", "api_key", "apiKey", "APIKEY", "password", "db.password", "PGPASSWORD", "passwd", "WANDB_KEY", "access-key",
    "AWS_SECRET_ACCESS_KEY", "ssh_passphrase", "client_secret", "clientSecret", "private_key", "wandb.api_key", "accessToken",
)  # fmt: skip
ORDINARY = (
    "num_tokens", "max_tokens", "tokenizer", "Tokenizer", "KeyError", "TokenError", "keyboard", "monkey", "sort_key", "primary_key",
    "keys", "turkey", "pad_token", "eos_token", "TOKENIZERS_PARALLELISM", "secretary", "passed", "PasswordError",
)  # fmt: skip

values = st.text(string.ascii_letters + string.digits + "_-+/", min_size=6, max_size=40).map(lambda text: f"Zq{text}9x")
names = st.sampled_from(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
def test_these_are_names_of_secrets(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ORDINARY)
def test_these_are_not(name):
    assert not is_secret_name(name)


FORMS = (
    "{name}={value}", "{name}: {value}", "export {name}={value} && run", '"{name}": "{value}"', "{{'{name}': '{value}', 'n': 3}}",
    '"{{\\"{name}\\": \\"{value}\\"}}"', "--{name} {value}", "--{name}={value}", "run --{name} '{value}' --n 3",
    "login({name}={value}, n=3)", "['a.py', '--{name}', '{value}', '--n', '3']", '["a.py", "--{name}", "{value}"]',
    "https://host/path?{name}={value}&page=2", "error: cannot log in ({name}={value})", "    {name} = '{value}'",
    "os.environ['{name}'] = '{value}'",
    "Authorization: Bearer {value}", "{{'authorization': 'Basic {value}'}}", "https://user:{value}@host:8080/x", "postgresql://me:{value}@db/x",
    "argument --{name}: invalid int value: '{value}'", "first line\n{name}={value}\nlast line", "{name}='{value}",
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(FORMS), names, values)
def test_no_value_behind_the_name_of_a_secret_is_left(form, name, value):
    text = form.format(name=name, value=value)
    masked = mask_text(text)
    assert value not in masked
    assert MASK in masked
    before, _, behind = text.partition(value)
    assert masked.startswith(before), "what stands before it stays"
    assert masked.endswith(behind), "and what stands behind it"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_masked_and_masking_again_changes_nothing(text):
    once = mask_text(text)
    assert mask_text(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=512", "num_tokens: 7", "['--use-token', '--n', '3']",
        "tokenizer=fast", "KeyError: 'x'", "KeyError: 'api_key'", "TokenError: bad thing",
        "keyboard: us",
        "key=lambda row: row[0]", "sorted(rows, key=len)", "sort_key=name", "key: 3", "key: value", "{'key': 'abc'}", "image_key=img",
        "token=None", "use_token=True", "token: 5", "password = None", "token: 0.25", "pad_token: [PAD]", "eos_token='</s>'",
        "login(password=password)", "token = os.environ['HF_TOKEN']", "headers = make(token=self.token)",
        "def f(token: str, password: Optional[str] = None):", "usage: a.py [-h] [--token TOKEN] [--api-key API_KEY]",
        "argument --token: expected one argument", "the following arguments are required: --token", "pass --token to log in",
        "Unexpected token: EOF", "API key is missing", "git clone ssh://git@github.com:me/x", "see https://pytorch.org/docs/stable/data.html",
        "Token indices sequence length is longer than the maximum (513 > 512)", "12:34:56 at step=3, loss=0.25", "docker pull https://registry:5000/image@sha256:abc",
        'File "/home/me/tokens/secret_santa.py", line 3, in key', "Monkey: patched; turkey=1",
    ],
)  # fmt: skip
def test_ordinary_messages_stay(text):
    assert mask_text(text) == text


def test_a_bare_key_is_masked_where_it_looks_like_one():
    assert mask_text("key=ab12cd34ef56gh78ij") == "key=***"


def test_digits_are_a_password_and_no_token():
    assert mask_text("PASSWORD=1234") == "PASSWORD=***"
    assert mask_text("token=1234") == "token=1234"


@pytest.mark.parametrize("piece", ["key=", "token:", "a=", "a:", "--token ", "password='a", "://a", "token='\\", "a.b-c_", "\"'", "token "])
def test_a_long_line_takes_no_more_than_its_square(piece):
    """Four times the length takes at most sixteen times as long: no place is looked at from each other one, again and again."""

    def least_s(characters: int) -> float:
        text = piece * (characters // len(piece)) + "token=abcdef"
        return min(timeit.repeat(lambda: mask_text(text), number=1, repeat=5))

    assert least_s(8000) < 2.5 * 16 * least_s(2000)


def test_arguments_of_a_command_line_are_masked_as_one_and_as_two():
    given_ = ["--token", "abc", "--n", "3", "--api-key=xyz", "+model.password=abc", "--use-token", "--fast", "run", "-p", "x"]
    assert mask_arguments(given_) == ["--token", MASK, "--n", "3", "--api-key=***", "+model.password=***", *given_[6:]]


def test_a_request_keeps_all_but_its_secrets():
    request = Request("train.py", script_args=("--data", "x", "--token", "abc"), arguments={"root": "x", "api_key": "abc", "n": "3"})
    masked = mask_request(msgspec.to_builtins(request))
    assert masked["script_args"] == ["--data", "x", "--token", MASK]
    assert masked["arguments"] == {"root": "x", "api_key": MASK, "n": "3"}
    assert {key: masked[key] for key in ("script", "seed", "timeout_s")} == {"script": "train.py", "seed": 0, "timeout_s": 30.0}
    assert request.script_args[-1] == "abc"
    again = msgspec.convert(masked, Request)
    assert any(map(holds_mask, again.script_args))


def test_a_request_keeps_the_names_of_environment_variables_without_any_value():
    request = Request("train.py", environment_variables={"DATA_ROOT": "x", "HF_TOKEN": "abc", "EMPTY": ""})
    masked = mask_request(msgspec.to_builtins(request))
    assert masked["environment_variables"] == {"DATA_ROOT": MASK, "HF_TOKEN": MASK, "EMPTY": MASK}
    assert mask_request(msgspec.to_builtins(Request("train.py")))["environment_variables"] == {}


def test_a_request_keeps_the_switches_by_which_its_trackers_stayed_offline():
    request = Request("train.py", environment_variables={"WANDB_MODE": "offline", "COMET_START_ONLINE": "true"})
    assert mask_request(msgspec.to_builtins(request))["environment_variables"] == {"WANDB_MODE": "offline", "COMET_START_ONLINE": MASK}


def test_a_document_is_masked_at_every_depth():
    document = {"a": [{"error": {"message": "HF_TOKEN=abcdef failed"}}, 3, None, 0.5], "password": "x", "token_count": 3, "ok": True}
    assert mask_document(document) == {
        "a": [{"error": {"message": "HF_TOKEN=*** failed"}}, 3, None, 0.5],
        "password": MASK,
        "token_count": 3,
        "ok": True,
    }
