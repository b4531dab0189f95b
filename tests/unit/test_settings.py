from __future__ import annotations

from pathlib import Path

import pytest

from tidemark.errors import SettingsError
from tidemark.settings import Settings, load_settings


def test_defaults_need_nothing() -> None:
    settings = load_settings()
    assert settings.kafka.bootstrap == "localhost:9092"
    assert settings.encoder.model == "all-MiniLM-L6-v2"
    assert settings.policy.name == "constant"


def test_command_line_wins_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tidemark.toml"
    file.write_text("[kafka]\nbootstrap = 'file:1'\ngroup = 'file'\npoll_records = 7\n")
    monkeypatch.setenv("TIDEMARK_KAFKA__BOOTSTRAP", "environment:2")
    monkeypatch.setenv("TIDEMARK_KAFKA__GROUP", "environment")
    kafka = load_settings(file, kafka={"bootstrap": "command:3"}).kafka
    assert (kafka.bootstrap, kafka.group, kafka.poll_records) == ("command:3", "environment", 7)


def test_own_actions_join_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "tidemark.toml"
    file.write_text("[actions.wish]\nweight = 2\nstrength = 0.7\n[actions.view]\nweight = 9\n")
    actions = load_settings(file).actions
    assert actions["wish"].strength == 0.7
    assert actions["view"].weight == 9
    assert "purchase" in actions


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().kafka.bootstrap = "x:1"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[kafka]\nbootstrap = 'nowhere'", "expected host:port"),
        ("[kafka]\nbootstrap = ''", "expected host:port"),
        ("[policy]\nk = 1.5", "policy.k: Input should be less than 1 (it is 1.5)"),
        ("[policy]\nname = 'magic'", "'constant', 'decay', 'adaptive' or 'influence'"),
        ("[policy]\nname = 'influence'", "expected its model in policy.influence"),
        ("[policy]\nkk = 1", "policy.kk: there is no such setting"),
        ("[nothing]\na = 1", "nothing: there is no such setting"),
        ("[policy]\nk_min = 0.9\nk_max = 0.8", "expected k_min <= k_max"),
        ("[kafka]\ngroup = ''", "kafka.group"),
        ("[encoder.templates]\nview = '{nothing}'", "nothing"),
        ("[ratings]\nlow = 9.0", "expected low < neutral < high"),
        ("[topics]\nactions = []", "expected at least one topic"),
        ("[topics]\nitems = 'profiles'", "two topics have the same name"),
        ("[actions.view]\nweight = 0", "actions.view.weight"),
        ("[worker]\nmetrics_port = 70000", "worker.metrics_port"),
        ("[retrieval]\nkey_file = 'key.pem'", "key_file is given without cert_file"),
        ("[retrieval]\nrequest_seconds = 61", "retrieval.request_seconds"),
        ("[[retrieval.tokens]]\nsha256 = 'abc'\nscopes = ['read']", "64 hexadecimal digits"),
        ("[[retrieval.tokens]]\nsha256 = 'abc'\nscopes = []", "retrieval.tokens.0.scopes"),
        ("[[retrieval.tokens]]\nsha256 = 'abc'\nscopes = ['all']", "'read', 'write' or 'admin'"),
        ("[client]\nurl = 'localhost:8080'", "client.url"),
        ("= 5", "is not TOML"),
        ("[kafka.security]\nprotocol = 'TLS'", "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or"),
        ("[kafka.security]\nprotocol = 'SASL_SSL'", "kafka.security: SASL_SSL needs a username"),
        (
            "[kafka.security]\nprotocol = 'SASL_SSL'\nusername = 'ann'",
            "kafka.security: SASL_SSL needs a password",
        ),
        (
            "[kafka.security]\nprotocol = 'SSL'\nca_file = '/no/ca.pem'",
            "ca_file is '/no/ca.pem'; there is no such file",
        ),
        (
            "[kafka.security]\nprotocol = 'SSL'\nkey_file = '/no/key.pem'",
            "key_file is given without cert_file",
        ),
        (
            "[kafka.security]\nprotocol = 'SASL_SSL'\nusername = 'ann'\npassword_file = '/no/pw'",
            "password_file /no/pw cannot be read: No such file or directory",
        ),
        (
            "[kafka.security]\npassword = 'a'\npassword_file = '/no/pw'",
            "password and password_file are both given",
        ),
        ("[retrieval]\nindex = 'milvus'", "retrieval: index is milvus; expected milvus_uri"),
        ("[retrieval]\nrank = 'mlp'", "retrieval: rank is mlp; expected ranker"),
        (
            "[retrieval]\nwhitening = 0.25\nmean_removal = false",
            "retrieval: whitening is 0.25; expected mean_removal",
        ),
        (
            "[retrieval]\nwhitening = 0.25\nranker = 'ranker.safetensors'",
            "retrieval: whitening is 0.25; expected no ranker",
        ),
        (
            "[retrieval]\nrank = 'blend'\n[ranking]\nenabled = false",
            "retrieval.rank is blend and ranking.enabled false",
        ),
        ("[retrieval]\nmilvus_kind = 'IVF'", "'FLAT', 'HNSW' or 'AUTOINDEX'"),
        ("[kafka.security]\nmechanism = 'GSSAPI'", "'PLAIN', 'SCRAM-SHA-256' or 'SCRAM-SHA-512'"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, toml: str, says: str) -> None:
    file = tmp_path / "tidemark.toml"
    file.write_text(toml)
    with pytest.raises(SettingsError) as error:
        load_settings(file)
    assert says in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file"):
        load_settings(tmp_path / "none.toml")


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    monkeypatch.setenv("TIDEMARK_KAFKA__GROUP", "later")
    assert settings.kafka.group == "tidemark"
    assert isinstance(settings, Settings)


_SASL = "[kafka.security]\nprotocol = 'SASL_SSL'\nusername = 'ann'\n"


def test_a_password_comes_from_a_mounted_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("se cret\n")
    file = tmp_path / "tidemark.toml"
    file.write_text(f"{_SASL}password_file = '{tmp_path / 'password'}'")
    assert load_settings(file).kafka.security.security().password == "se cret"


def test_a_password_is_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "tidemark.toml"
    file.write_text(f"{_SASL}password = 'hush-hush'")
    settings = load_settings(file)
    security = settings.kafka.security.security()
    assert security.password == "hush-hush"
    for shown in (repr(settings), str(settings.model_dump(mode="json")), repr(security)):
        assert "ann" in shown
        assert "hush" not in shown


@pytest.mark.parametrize(
    "toml",
    [
        "[kafka.security]\npassword = 987654",
        "[kafka.security]\nprotocol = 'SASL_SSL'\npassword = 'hush-987654'",
        "[kafka.security]\npassword = ['hush-987654']",
        "[kafka.security]\npassword = 'hush-987654'\npassword_file = 'x'",
    ],
)
def test_an_error_does_not_show_the_password(tmp_path: Path, toml: str) -> None:
    file = tmp_path / "tidemark.toml"
    file.write_text(toml)
    with pytest.raises(SettingsError, match=r"kafka\.security") as error:
        load_settings(file)
    assert "987654" not in str(error.value)


def test_a_token_of_milvus_is_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "tidemark.toml"
    file.write_text("[retrieval]\nmilvus_uri = 'milvus://host'\nmilvus_token = 'ann:987654'")
    settings = load_settings(file)
    assert settings.retrieval.milvus_token is not None
    assert settings.retrieval.milvus_token.get_secret_value() == "ann:987654"
    for shown in (repr(settings), str(settings.model_dump(mode="json"))):
        assert "milvus://host" in shown
        assert "987654" not in shown
    for wrong in ("milvus_token = 987654", "milvus_uri = 'https://ann:987654@host'"):
        file.write_text(f"[retrieval]\n{wrong}")
        with pytest.raises(SettingsError, match="retrieval") as error:
            load_settings(file)
        assert "987654" not in str(error.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_only_on_loopback_tokens_are_not_needed(host: str, loopback: bool) -> None:
    retrieval = load_settings(None, retrieval={"host": host}).retrieval
    assert retrieval.on_loopback is loopback
    if loopback:
        retrieval.require_protection()
    else:
        with pytest.raises(SettingsError, match="tidemark token new"):
            retrieval.require_protection()
    token = {"sha256": "a" * 64, "scopes": ["read"]}
    guarded = load_settings(None, retrieval={"host": host, "tokens": [token]}).retrieval
    guarded.require_protection()


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "::1", "cert_file": "c.pem"}, "https://[::1]:8080"),
        ({"host": "0.0.0.0", "port": 9}, "http://127.0.0.1:9"),  # noqa: S104
        ({"host": "tide.example.org"}, "http://tide.example.org:8080"),
    ],
)
def test_where_this_machine_reaches_the_service(given: dict[str, object], url: str) -> None:
    assert load_settings(None, retrieval=given).retrieval.url() == url


def test_a_template_of_no_action_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[encoder.templates]\nrewiev = "{text}"\n')
    with pytest.raises(SettingsError, match=r"templates\.rewiev: there is no action of this name"):
        load_settings(file)
    file.write_text('[actions.rewiev]\n[encoder.templates]\nrewiev = "{text}"\nitem = "{title}"\n')
    assert load_settings(file).encoder.templates["rewiev"] == "{text}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://localhost:99999", "has a port that is none"),
        ("http://localhost:abc", "has a port that is none"),
        ("http://:9100", "names no host"),
        ("http://ann:secret@host:9100", "holds credentials"),
        ("ftp://host", "match pattern"),
    ],
)
def test_addresses_that_cannot_be_asked_are_refused(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as told:
        load_settings(dashboard={"workers": [url]})
    assert "dashboard.workers" in str(told.value)
