"""``tidemark profile`` and ``candidates`` against a service, with and without TLS and tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from service_rig import listening
from store_fakes import DIM
from typer.testing import CliRunner

from store.ranking.learner import Learner
from store.ranking.warm_up import warm_up
from store.service import ServiceSettings
from store.tokens import Token, digest, new_token
from streams.processes import free_port
from tidemark.certificates import require_certificate
from tidemark.cli.main import app
from tidemark.errors import SettingsError, TidemarkError

READ, ADMIN = new_token(), new_token()
SETTINGS = ServiceSettings(
    tokens=(
        Token(digest(READ), frozenset({"read"})),
        Token(digest(ADMIN), frozenset({"admin"})),
    )
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemark.cli import common  # noqa: PLC0415 # the console is made when it is imported

    monkeypatch.setattr(common.console, "width", 160)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, [*words])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def fails(*words: str) -> str:
    """The one line that `tidemark.cli.main` prints before it exits with 1."""
    done = CliRunner().invoke(app, [*words])
    assert isinstance(done.exception, TidemarkError), (done.output, done.exception)
    assert "Traceback" not in str(done.exception)
    return str(done.exception)


def rows(said: str) -> list[list[str]]:
    """The cells of the tables' rows."""
    return [
        [cell.strip() for cell in line.strip("│┃").split("│")]
        for line in said.splitlines()
        if line.startswith("│")
    ]


def test_a_profile_is_a_table(url: str) -> None:
    said = run("profile", "ann", "--url", url)
    assert re.search(r"actions +1, the latest at 2023-11-14 22:13:20 UTC", said)
    assert re.search(r"norm +2\.000", said)
    assert rows(said) == [
        ["search", "", "", "+0.2000"],
        ["click", "x", "Title of x", "+0.4000"],
        ["gone", "not in the catalogue"],
        ["x", "Title of x"],
    ]


def test_candidates_are_a_table(url: str) -> None:
    said = run("candidates", "ann", "-k", "5", "--url", url)
    assert rows(said) == [
        ["1", "0.707", "xy", "Title of xy", "book"],
        ["2", "0.000", "y", "Title of y", "film"],
    ]
    said = run("candidates", "ann", "--seen", "--category", "film", "-k", "1", "--url", url)
    assert rows(said) == [["1", "1.000", "x", "Title of x", "film"]]


def test_candidates_with_their_reasons(url: str) -> None:
    said = run("candidates", "ann", "-k", "1", "--why", "--url", url)
    assert rows(said) == [
        ["1", "0.707", "xy", "Title of xy", "book", "+100% click Title of x"],
        ["", "", "", "", "", "and 1 without an item that is held"],
    ]
    # of bob nothing but the vector is known
    assert (
        rows(run("candidates", "bob", "-k", "1", "--why", "--url", url))[0][-1] == "older actions"
    )


def test_candidates_of_the_blend_say_what_their_scores_are_made_of() -> None:
    warm_up(DIM)
    with listening(learner=Learner(DIM, partners=16), rank="blend") as port:
        at = ("--url", f"http://127.0.0.1:{port}")
        said = run("candidates", "ann", "-k", "1", "--why", *at)
        assert "Candidates for ann, best first by the learned blend" in said
        # the first row: place, score, item, title, categories, what it is made of, because of
        assert re.fullmatch(r"[+-]\d+\.\d\d \w+", rows(said)[0][5])
        said = run("candidates", "ann", "-k", "1", "--rank", "nearest", *at)
        assert "Candidates for ann, nearest first" in said


def test_who_has_no_profile_gets_what_is_popular_where_that_is_asked_for(url: str) -> None:
    said = fails("candidates", "nobody", "--url", url)
    assert "--fallback popular" in said
    said = run("candidates", "nobody", "--fallback", "popular", "--url", url)
    assert "nobody has no profile; what is popular" in said
    assert rows(said)[0][2] == "x"  # ann and bob saw it
    said = run("candidates", "ann", "--fallback", "popular", "--url", url)
    assert "Candidates for ann" in said


def test_what_a_service_holds(url: str) -> None:
    said = run("retrieval", "inspect", "--url", url)
    assert re.search(r"ready +yes", said)
    assert re.search(r"lag +0 records", said)
    assert re.search(r"generation +profiles, of test-encoder", said)
    assert re.search(r"searched +by profiles as they are *\n", said)
    assert rows(said) == [
        ["items", "3", "exact float32", "all"],
        ["profiles", "3", "exact float32", "all"],
        ["profiles", "0", "6", "read up to"],
        ["actions", "0", "0", "in the profiles"],
    ]
    found = json.loads(run("retrieval", "inspect", "--json", "--url", url))
    assert found["positions"] == {"profiles": {"0": 6}}
    assert (found["mean_removal"], found["whitening"]) == (False, 0.0)  # three items have no mean


def test_a_service_of_an_earlier_version_is_shown_too(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(run("retrieval", "inspect", "--json", "--url", url))
    for name in ("mean_removal", "whitening", "ranker"):
        del found[name]
    monkeypatch.setattr("tidemark.cli.inspect.ask", lambda *_, **__: found)
    said = run("retrieval", "inspect", "--url", url)
    assert "of test-encoder" in said
    assert "searched" not in said
    found |= {"mean_removal": True, "whitening": 0.25, "ranker": "r1"}
    said = run("retrieval", "inspect", "--url", url)
    assert re.search(r"searched +by profiles without the items' mean, whitened by 0.25", said)
    assert re.search(r"ranker +r1", said)


def test_answers_as_they_came(url: str) -> None:
    assert json.loads(run("profile", "ann", "--json", "--url", url))["norm"] == 2
    found = json.loads(run("candidates", "ann", "--why", "--json", "-k", "1", "--url", url))
    assert found["candidates"][0]["because"][0]["action"] == "click"


def test_errors_are_told_in_words(url: str) -> None:
    assert "user 'nobody' has no profile" in fails("profile", "nobody", "--url", url)
    assert "user 'a/..' has no" in fails("candidates", "a/..", "--url", url)
    said = fails("candidates", "ann", "--category", "none", "--url", url)
    assert "no item is of category 'none'" in said
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = fails("profile", "ann", "--url", nowhere)
    assert "no retrieval service answers at" in said
    assert "refused" in said
    assert "--url" in said
    assert "client.url" in fails("profile", "ann", "--url", "ftp://x")
    done = CliRunner().invoke(app, ["candidates", "ann", "-k", "1001", "--url", url])
    assert done.exit_code == 2


def test_tls_and_a_token_by_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    require_certificate(cert, key)
    with listening(SETTINGS, ssl_certfile=cert, ssl_keyfile=key) as port:
        monkeypatch.setenv("TIDEMARK_CLIENT__URL", f"https://127.0.0.1:{port}")
        assert "certificate verify failed" in fails("profile", "ann")
        monkeypatch.setenv("TIDEMARK_CLIENT__CA_FILE", str(tmp_path / "ca.pem"))
        said = fails("profile", "ann")
        assert "no bearer token" in said
        assert "TIDEMARK_CLIENT__TOKEN" in said
        monkeypatch.setenv("TIDEMARK_CLIENT__TOKEN", ADMIN)
        assert "has not the scope read" in fails("profile", "ann")
        monkeypatch.setenv("TIDEMARK_CLIENT__TOKEN", READ)
        assert "Title of x" in run("profile", "ann")
        # not in what is printed of the settings
        said = run("settings")
        assert '"token": "***' in said
        assert READ not in said
    monkeypatch.setenv("TIDEMARK_CLIENT__CA_FILE", str(key))
    assert "client.ca_file" in fails("profile", "ann")


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    other = trustme.CA().issue_cert("127.0.0.1")
    cert, key, wrong = (tmp_path / name for name in ("cert.pem", "key.pem", "wrong.pem"))
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    other.private_key_pem.write_to_path(wrong)
    require_certificate(None, None)
    for bad in ((cert, wrong), (cert, tmp_path / "none"), (key, None), (Path(__file__), key)):
        with pytest.raises(SettingsError, match=r"retrieval\.cert_file .* cannot be used: \S"):
            require_certificate(*bad)


def test_a_new_token_fits_the_settings(tmp_path: Path) -> None:
    from tidemark.settings import load_settings  # noqa: PLC0415 # beside its use

    said = run("token", "new", "--scope", "read", "--scope", "admin", "--name", "grafana")
    (token,) = re.findall(r"^tdmk_\S+$", said, re.MULTILINE)
    table = said[said.index("[[retrieval.tokens]]") :].split("\n\n")[0]
    file = tmp_path / "tidemark.toml"
    file.write_text(table)
    (kept,) = load_settings(file).retrieval.tokens
    assert (kept.sha256, kept.scopes, kept.name) == (digest(token), ("admin", "read"), "grafana")
    (listed,) = re.findall(r"^TIDEMARK_RETRIEVAL__TOKENS='(.*)'$", said, re.MULTILINE)
    assert json.loads(listed)[0]["sha256"] == digest(token)
    assert CliRunner().invoke(app, ["token", "new"]).exit_code == 2
    assert CliRunner().invoke(app, ["token", "new", "--scope", "all"]).exit_code == 2
    done = CliRunner().invoke(app, ["token", "new", "--scope", "read", "--name", "a b"])
    assert done.exit_code == 2


def test_a_user_is_forgotten_and_a_receipt_is_printed() -> None:
    with listening() as port:
        url = f"http://127.0.0.1:{port}"
        done = CliRunner().invoke(app, ["forget", "ann", "--url", url])
        assert done.exit_code == 2
        assert "say --yes" in done.output
        # no worker is there to do it
        done = CliRunner().invoke(app, ["forget", "ann", "--yes", "--wait", "0", "--url", url])
        assert done.exit_code == 3, done.output
        assert "accepted: on Kafka, but not gone from here within 0 s" in done.output
        assert "there was a profile" in done.output
        assert re.search(r"receipt +actions, partition 0, offset 7", done.output)
        words = ["forget", "nobody", "--yes", "--wait", "0", "--json", "--url", url]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 3, done.output
        receipt = json.loads(done.output)
        assert (receipt["status"], receipt["known_before"]) == ("accepted", False)


def test_forgetting_takes_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    write = new_token()
    settings = ServiceSettings(
        tokens=(*SETTINGS.tokens, Token(digest(write), frozenset({"write"})))
    )
    with listening(settings) as port:
        monkeypatch.setenv("TIDEMARK_CLIENT__URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("TIDEMARK_CLIENT__TOKEN", READ)
        assert "a token with the scope write" in fails("forget", "ann", "--yes")
        monkeypatch.setenv("TIDEMARK_CLIENT__TOKEN", write)
        done = CliRunner().invoke(app, ["forget", "ann", "--yes", "--wait", "0"])
        assert done.exit_code == 3, done.output
        assert "not told to this token" in done.output


def test_a_settings_file_before_inspect_counts_too(url: str, tmp_path: Path) -> None:
    file = tmp_path / "here.toml"
    file.write_text(f"[client]\nurl = '{url}'\n")
    for words in (
        ["retrieval", "-c", str(file), "inspect"],
        ["retrieval", "inspect", "-c", str(file)],
    ):
        assert "of test-encoder" in run(*words)
