"""Masks values that look like secrets in stored or printed texts and documents; a run itself gets the real values.

The name of a value makes it a secret: a name with the word token, secret, password, passwd, passphrase, apikey, "api key",
"access key" or "private key" in it, or a name that ends in the word key. Names are cut into words at `_`, `-`, `.`, spaces and
capitals, so `num_tokens`, `tokenizer` and `monkey` are no such names. Values that cannot be secrets stay: numbers, True, None,
names of types, code that computes the value.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from loaderscope.facts.trackers import is_offline_switch

MASK = "***"

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SECRET_WORDS = {
    "token", "secret", "password", "passwd", "passphrase", "apikey", "accesskey", "privatekey", "secretkey", "authtoken", "accesstoken",
}  # fmt: skip
_SECRET_ENDINGS = ("password", "passwd", "apikey")
_SECRET_KEYS = {"api", "access", "private", "secret", "encryption", "auth", "license"}
"""Words before "key" that make the value a secret, whatever it looks like."""
_ORDINARY_KEYS = re.compile(
    "sort|sorting|cache|dict|primary|foreign|index|group|lookup|hash|row|column|partition|storage|state|data|feature|image|label|target"
    "|input|output|public|batch|sample|map|search|first|last|sub|super|class|field|config"
)
_ORDINARY_TOKENS = re.compile(r"(?:pad|padding|eos|bos|unk|sep|cls|mask|special|unexpected|next|image)\Z")
_HARMLESS_LAST_WORDS = ("error", "exception", "warning")

_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.?\d+)(?:e[-+]?\d+)?%?\Z", re.IGNORECASE)
_CONSTANTS = re.compile("true|false|none|null|nan|yes|no|on|off|str|int|float|bool|bytes|any|optional|string|list|dict|lambda")
_PROSE = re.compile("to|or|and|for|if|is|with|in|the|as|must|was|has|not|option|argument|flag|when|requires|cannot|can|should|of|on|by")
_CODE = re.compile(r"[A-Za-z_][\w.]*[(\[]")
_PATH_OF_NAMES = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z")
_BRACKETED = re.compile(r"[<\[({].*")
_PLAIN_WORD = re.compile(r"[a-z_.]{1,16}\Z", re.IGNORECASE)
_LONG_DIGITS = 8
_PASSWORD_DIGITS = 4
_LONG_BEGIN = re.compile(r"\\?[\"']?[\w+/.~-]{16}")
_LONG_KEY = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w+/=.~-]{16,}\Z")

_HINT = re.compile(r"token|secret|passw|passphrase|key|authorization|://", re.IGNORECASE)
_NAME = re.compile(
    r"(?P<open>\\?[\"'])?"
    r"(?P<name>(?:(?<![\w.\-])|(?<=--))[A-Za-z_][\w.\-]*(?:(?i:(?<=api)|(?<=access)|(?<=private)|(?<=secret))\ key)?)"
    r"(?(open)\\?[\"']\]?)"
    r"(?P<between>[ \t]{0,3}(?:={1,2}>?|:)[ \t]{0,3})"
)
"""Matches a name and the separator before its value: `name=`, `name: `, `"name": `."""
_VALUE = re.compile(
    r"(?P<quote>\\?[\"'])(?P<quoted>(?:(?!(?P=quote))(?:\\.|[^\n]))*)(?:(?P=quote)|$)"
    r"|(?P<bare>(?:(?![,;&][ \t]*[\w.\-]+[ \t]*[=:])[^\s\"'])+)",
    re.MULTILINE,
)
_OPTION = re.compile(r"(?<![\w-])--?(?P<name>[A-Za-z][\w.\-]*)(?:[ \t]+(?!-)|[\"'],[ \t]*(?=[\"'](?!-)))")
"""Matches an option and the separator before its value, on a command line or in a printed list of arguments."""
_ARGUMENT = re.compile(r"(?P<before>argument (?:-\w/)?--(?P<name>[\w.\-]+)[^:\n]*:[^'\n]*')[^'\n]*'")
"""Matches argparse's refusal of an option's value."""
_HEADER = re.compile(
    r"(?P<before>\bauthorization\\?[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\?[\"']?(?:(?:bearer|basic|token|digest|negotiate)[ \t]+)?)"
    r"[^\s\"',;)\]}\\]+",
    re.IGNORECASE,
)
_URL = re.compile(r"(?P<before>\b[A-Za-z][A-Za-z0-9+.\-]*://[^\s/@:\"']*:)(?!\d+/)[^\s@\"']+(?=@)")
_AT_END = re.compile(r"[,;:.)\]}>]*\Z")


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret; for names that end in "key" the value must look like a secret, too."""
    words = _words_of(name)
    if not words or words[-1] in _HARMLESS_LAST_WORDS:
        return False
    if _has_secret_word(words):
        return not (words[-1] == "token" and len(words) > 1 and _ORDINARY_TOKENS.match(words[-2]))
    return words[-1] == "key" and not (len(words) > 1 and _ORDINARY_KEYS.fullmatch(words[-2]))


def mask_text(text: str) -> str:
    """Returns the text with `***` in place of secrets."""
    if not _HINT.search(text):
        return text
    text = _URL.sub(lambda found: found["before"] + MASK, text)
    text = _HEADER.sub(lambda found: found["before"] + MASK, text)
    text = _ARGUMENT.sub(lambda found: found["before"] + MASK + "'" if is_secret_name(found["name"]) else found[0], text)
    return _mask_values_after(_mask_values_after(text, _NAME), _OPTION)


def mask_document(value: Any) -> Any:
    """Returns plain JSON values with the secrets in all texts masked, and all texts whose key is the name of a secret."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {key: _masked_value(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_document(item) for item in value]
    return value


def mask_arguments(arguments: Sequence[str]) -> list[str]:
    """Masks the arguments of a command line: `--token abc` as two arguments, `--token=abc` or `token=abc` as one."""
    masked: list[str] = []
    name = ""  # of the option before, whose value this is
    for argument in arguments:
        if name and not argument.startswith("--") and _is_secret_value(name, argument):
            masked.append(MASK)
        else:
            masked.append(mask_text(argument))
        is_option = argument.startswith("-") and "=" not in argument
        name = argument.lstrip("-") if is_option and is_secret_name(argument.lstrip("-")) else ""
    return masked


def mask_request(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the `request` of a document: arguments of script and target are masked, and each value of its environment variables.

    A switch that keeps a tracker offline stays: it is no secret, and without it an opened session would upload where its run did not.
    """
    masked: dict[str, Any] = mask_document(request)
    return masked | {
        "script_args": mask_arguments(request.get("script_args") or []),
        "environment_variables": {
            name: value if is_offline_switch(name, value) else MASK for name, value in (request.get("environment_variables") or {}).items()
        },
    }


def holds_mask(text: str) -> bool:
    """Whether a value was masked, so that the user must give it again."""
    return MASK in text


def _has_secret_word(words: list[str]) -> bool:
    pairs = itertools.pairwise(words)
    return (
        any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words)
        or any(first in _SECRET_KEYS and second == "key" for first, second in pairs)
    )  # fmt: skip


def _masked_value(key: Any, value: Any) -> Any:
    if isinstance(key, str) and isinstance(value, str) and is_secret_name(key) and _is_secret_value(key, value):
        return MASK
    return mask_document(value)


def _mask_values_after(text: str, names: re.Pattern[str]) -> str:
    """Masks the values after names; an unmasked value may hold further names, as in `url=https://host/?token=abc`."""
    parts: list[str] = []
    done = at = 0
    while (found := names.search(text, at)) is not None:
        at = found.end()
        if not is_secret_name(found["name"]) or _rules_out_secret(found, names):
            continue
        if found["name"].lower() == "key" and not _LONG_BEGIN.match(text, at):
            continue
        value = _VALUE.match(text, at)
        if value is None:
            continue
        start, end = _secret_bounds(found["name"], value, is_option=names is _OPTION)
        if start < end:
            parts += [text[done:start], MASK]
            done = at = end
    return "".join([*parts, text[done:]])


def _rules_out_secret(found: re.Match[str], names: re.Pattern[str]) -> bool:
    """Whether the text around a name shows that no secret follows."""
    if names is _OPTION:
        return False
    before = found.string[max(0, found.start("name") - 16) : found.start("name")]
    if before.endswith("-") and ":" in found["between"]:  # "argument --token: expected one argument"
        return True
    return found["name"].lower() == "token" and bool(_ORDINARY_TOKENS.search(before.rstrip().lower()))  # "unexpected token: EOF"


def _secret_bounds(name: str, value: re.Match[str], is_option: bool) -> tuple[int, int]:
    """Returns start and end of the secret in the text; both are equal if there is none."""
    group = "quoted" if value["quote"] else "bare"
    start, text = value.start(group), value[group]
    if not value["quote"]:
        whole, text = text, _AT_END.sub("", text)
        is_placeholder = is_option and _words_of(text) == _words_of(name)  # "[--token TOKEN]"
        if is_placeholder or _PROSE.fullmatch(text.lower()) or _is_code(text, whole):
            return start, start
    return (start, start + len(text)) if _is_secret_value(name, text) else (start, start)


def _words_of(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


def _is_secret_value(name: str, value: str) -> bool:
    """Whether a value with a secret's name is a secret itself."""
    value = value.strip()
    words = _words_of(name)
    if not value or value == MASK or _CONSTANTS.fullmatch(value.lower()) or value.lower() == name.lower():
        return False
    if _PLAIN_NUMBER.match(value):
        is_password = any(word in ("password", "passwd", "secret") for word in words)
        return value.isdigit() and len(value) >= (_PASSWORD_DIGITS if is_password else _LONG_DIGITS)
    if "token" in words and _BRACKETED.match(value):
        return False  # <pad>, [SEP], a list of numbers
    if _has_secret_word(words):
        return True
    if len(words) == 1:  # a bare key
        return bool(_LONG_KEY.match(value))
    return name.isupper() or not _PLAIN_WORD.match(value)


def _is_code(bare: str, value: str) -> bool:
    """Whether a value without quotes is code: a call, a look-up, or another variable with a secret's name."""
    if _CODE.match(value):
        return True
    return bool(_PATH_OF_NAMES.match(bare)) and is_secret_name(bare) and ("." in bare or "_" in bare or bare.islower())
