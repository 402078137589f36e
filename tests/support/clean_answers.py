"""Every error that a client sees is checked here: it has the code that it should have, and it gives nothing away."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_calls import Answer, Http

REPOSITORY = str(Path(__file__).parents[2])
_HEALTH = ("/health", "/readyz")
"""What these answer is no problem: it says how the lakes are."""
_SECRETS = {"Traceback (most recent", 'File "', "/site-packages", "__cause__", REPOSITORY + "/"}


def keep_secret(text: str) -> None:
    """Let no answer contain a text, such as the path of a lake."""
    _SECRETS.add(text)


def check_clean(text: str) -> None:
    """Fail if a text gives away how the server is made or where it runs."""
    leaks = sorted(secret for secret in _SECRETS if secret in text)
    assert not leaks, f"an answer contains {leaks}: {text}"


@dataclass
class Refusal:
    """What a client was told. Filled when the block that it belongs to has ended."""

    code: str = ""
    text: str = ""


@contextmanager
def refused(*codes: str) -> Iterator[Refusal]:
    """Expect the block to end with an error of a stock client that has one of these codes, or any clean one of ours."""
    with may_be_refused(*codes) as refusal:
        yield refusal
    if not refusal.code:
        pytest.fail(f"nothing was refused, but {codes} was expected")


@contextmanager
def may_be_refused(*codes: str) -> Iterator[Refusal]:
    """Let the block end well, or with an error that has one of these codes."""
    refusal = Refusal()
    try:
        yield refusal
    except AssertionError:
        raise
    except (Exception, KeyboardInterrupt) as error:  # pyarrow raises the latter for a cancelled call
        refusal.text = str(error.args[0]) if error.args else str(error)
    else:
        return
    check_clean(refusal.text)
    found = re.search(r"\b([a-z]+(?:_[a-z0-9]+)+|cancelled): ", refusal.text)
    assert found, f"this error is not one of ours: {refusal.text}"
    refusal.code = found[1]
    assert not codes or refusal.code in codes, refusal.text
    assert refusal.code not in {"internal_error", "engine_failed"}, refusal.text


class CleanHttp(Http):
    """Sends requests, and checks every answer that is an error."""

    def __call__(self, method: str, path: str, body=None, headers=None, /, **query) -> Answer:
        answer = super().__call__(method, path, body, headers, **query)
        if answer.status >= 400:
            check_clean(f"{answer.headers}\n{answer.body.decode()}")
            assert answer.status != 500, answer.body
            assert path in _HEALTH or answer.code
        return answer
