"""Secrets are masked by the names of their keys; what only sounds like one is kept."""

import sys

import pytest

from un_lightning.redaction import redact, redact_argument, redacted_arguments


SECRETS = ["token", "hub_token", "HF_TOKEN", "accessToken", "api_key", "api-key", "apikey", "secret_key"]
SECRETS += ["password", "db_password_2", "client_secret", "secrets", "aws_credentials", "passwd"]
HARMLESS = [
    "tokens",
    "tokenizer",
    "tokens_per_second",
    "max_tokens",
    "key",
    "keys",
    "monkey",
    "name",
    "entity",
]


@pytest.mark.parametrize("key", SECRETS)
@pytest.mark.parametrize("value", ["abc", 123, ["abc"], {"a": "abc"}], ids=repr)
def test_secrets(key, value):
    assert redact({key: value}) == {key: "***"}


@pytest.mark.parametrize("key", HARMLESS)
def test_harmless_keys(key):
    assert redact({key: "abc"}) == {key: "abc"}
    assert redact_argument(f"data.{key}=abc") == f"data.{key}=abc"


def test_whether_there_is_a_secret_may_be_known():
    assert redact({"token": None, "use_token": True}) == {"token": None, "use_token": True}


def test_any_depth_and_no_change_of_the_original():
    config = {"a": [{"hub_token": "abc", "n": 1}, ("x", {"password": "abc"})], 3: {"b": {"api_key": "abc"}}}
    before = repr(config)
    assert redact(config) == {
        "a": [{"hub_token": "***", "n": 1}, ["x", {"password": "***"}]],
        3: {"b": {"api_key": "***"}},
    }
    assert repr(config) == before


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("models.hub_token=abc", "models.hub_token=***"),
        ("+models.hub_token=abc", "+models.hub_token=***"),
        ("--api-key=abc", "--api-key=***"),
        ("a={hub_token: abc, tokens: 3}", "a={hub_token: ***, tokens: 3}"),
        ("a={'password':'a, b', n: 1}", "a={'password':***, n: 1}"),
        ("models.secrets={a: abc, b: abc}", "models.secrets=***"),
        ("url=http://host/?token=abc", "url=http://host/?token=***"),
        ("url=s3://me:abc@host/a:b@c", "url=s3://me:***@host/a:b@c"),
        ("notes=by hf_abcdefghijklmnopqrstuvwxyz", "notes=by ***"),
        ("data.path=/a:b/c@d", "data.path=/a:b/c@d"),
        ("data.tokens=1000", "data.tokens=1000"),
        ("experiment=tiny/universality", "experiment=tiny/universality"),
        ("models.tokenizer=bundled:x", "models.tokenizer=bundled:x"),
    ],
)
def test_arguments(argument, expected):
    assert redact_argument(argument) == expected


def test_secrets_in_values():
    found = redact({"data": {"path": "https://me:abc@host/x", "list": ["http://host/?api_key=abc&n=1"]}})
    assert found == {"data": {"path": "https://me:***@host/x", "list": ["http://host/?api_key=***"]}}


def test_the_command_line_comes_back(monkeypatch):
    arguments = ["run.py", "hub_token=abc"]
    monkeypatch.setattr(sys, "argv", arguments)

    def take_down():
        with redacted_arguments():
            raise ValueError(*sys.argv)

    with pytest.raises(ValueError, match="run.py") as caught:
        take_down()
    assert caught.value.args == ("run.py", "hub_token=***")
    assert sys.argv is arguments
