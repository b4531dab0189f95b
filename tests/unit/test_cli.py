"""Every error a user can cause is one line of words, without a traceback."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from system_helpers import tidemark

from streams.processes import free_port


def test_help_names_every_command() -> None:
    done = tidemark("--help")
    assert done.returncode == 0
    for command in (
        "demo", "up", "worker", "retrieval", "topics", "publish", "soak", "settings", "profile",
        "candidates", "token",
    ):  # fmt: skip
        assert command in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["up"],
        ["worker"],
        ["retrieval"],
        ["topics", "create"],
        ["publish"],
        ["soak"],
        ["settings"],
        ["profile"],
        ["candidates"],
        ["token", "new"],
    ],
)
def test_every_command_has_help(command: list[str]) -> None:
    done = tidemark(*command, "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout


NOWHERE = f"127.0.0.1:{free_port()}"
TAKEN = str(free_port())


@pytest.fixture(autouse=True, scope="module")
def listener() -> Iterator[None]:
    """Something that listens on the port taken."""
    with socket.create_server(("127.0.0.1", int(TAKEN))):
        yield


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["worker", "--bootstrap", NOWHERE], 1, ": Connection refused"),
        (["retrieval", "--bootstrap", NOWHERE], 1, ": Connection refused"),
        (["topics", "create", "--bootstrap", NOWHERE], 1, "is it running"),
        (["topics", "check", "--bootstrap", "no-such-host.invalid:9092"], 1, "no-such-host"),
        (["up", "--bootstrap", NOWHERE], 1, "is it running"),
        (["worker", "--bootstrap", "nonsense"], 2, "expected host:port"),
        (["worker", "--config", "/no/such/file.toml"], 2, "cannot be read: No such file"),
        (["topics", "create", "--partitions", "0"], 2, "greater than 0"),
        (["publish", "/no/such/file.csv"], 1, "there is no file /no/such/file.csv"),
        (["publish", __file__], 1, "format"),
        (["publish", __file__, "--format", "xml"], 2, "'xml' is not one of"),
        (["publish", __file__, "--format", "csv", "--bootstrap", NOWHERE], 1, "is it running"),
        (["publish", __file__, "--format", "csv", "--topic", "x"], 2, "the settings name actions"),
        (["dance"], 2, "No such command 'dance'"),
        (["worker", "--log-level", "loud"], 2, "'loud' is not one of"),
        (["worker", "--metrics-port", TAKEN], 1, "choose another with --metrics-port"),
        (["retrieval", "--port", TAKEN], 1, "Address already in use"),
        (["up", "--port", TAKEN], 1, "choose another with --port"),
        (["retrieval", "--host", "203.0.113.7"], 1, "cannot listen on 203.0.113.7"),
        (["retrieval", "--host", "0.0.0.0", "--port", "0"], 2, "tidemark token new"),  # noqa: S104
        (["profile", "ann", "--url", f"http://{NOWHERE}"], 1, "no retrieval service answers"),
        (["candidates", "ann", "--url", "nonsense"], 2, "client.url"),
    ],
)
def test_what_went_wrong_is_said_in_words(words: list[str], code: int, says: str) -> None:
    done = tidemark(*words)
    said = done.stdout + done.stderr
    assert says in said
    assert done.returncode == code
    assert "Traceback" not in said


def test_up_uses_the_broker_that_the_settings_name() -> None:
    done = tidemark("up", "--port", "0", TIDEMARK_KAFKA__BOOTSTRAP=NOWHERE)
    assert done.returncode == 1
    assert ": Connection refused" in done.stderr


def test_up_too_serves_others_only_with_tokens() -> None:
    done = tidemark("up", "--port", "0", TIDEMARK_RETRIEVAL__HOST="0.0.0.0")  # noqa: S104
    assert done.returncode == 2
    assert "tidemark token new" in done.stderr


def test_a_token_in_the_place_of_its_hash_is_not_repeated() -> None:
    given = '[{"sha256": "tdmk_secret", "scopes": ["read"]}]'
    done = tidemark("settings", TIDEMARK_RETRIEVAL__TOKENS=given)
    assert done.returncode == 2
    assert "this is the token itself" in done.stderr
    assert "secret" not in done.stderr


def test_a_certificate_that_is_not_there_is_said() -> None:
    done = tidemark("retrieval", "--port", "0", TIDEMARK_RETRIEVAL__CERT_FILE="/no/such.pem")
    assert done.returncode == 2
    assert "retrieval.cert_file /no/such.pem" in done.stderr
    assert "No such file" in done.stderr


def test_a_state_folder_that_is_a_file_is_said() -> None:
    done = tidemark("up", "--port", "0", "--state", __file__)
    assert done.returncode == 1
    assert "name another with --state" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_environment_variable_is_named() -> None:
    done = tidemark("settings", TIDEMARK_POLCY__NAME="decay")
    assert done.returncode == 2
    assert "TIDEMARK_POLCY__NAME: there is no such setting" in done.stderr


def test_a_wrong_environment_variable_is_named() -> None:
    done = tidemark("settings", TIDEMARK_POLICY__K="much")
    assert done.returncode == 2
    assert "policy.k" in done.stderr
    assert "'much'" in done.stderr


def test_settings_are_printed_with_their_sources_applied() -> None:
    done = tidemark("settings", TIDEMARK_KAFKA__GROUP="mine")
    assert '"group": "mine"' in done.stdout
