"""What each client is given, and what a listener that is no broker of ours is called."""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faust
import pytest
import trustme
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.app import GroupSettings, build_app
from streams.errors import (
    BrokerUnavailableError,
    BrokerUnsupportedError,
    SecurityError,
)
from streams.processes import free_port
from streams.reach import require_access
from streams.security import PLAINTEXT, Security

SASL = Security("SASL_SSL", username="a=b,c", password='p"w{},=\\')


def test_plain_text_asks_for_nothing() -> None:
    assert PLAINTEXT.ssl_context() is None
    assert PLAINTEXT.for_aiokafka() == {"security_protocol": "PLAINTEXT"}
    assert PLAINTEXT.for_kafka_python() == {"security_protocol": "PLAINTEXT"}


def test_both_clients_get_user_password_and_trust() -> None:
    for options in (SASL.for_aiokafka(), SASL.for_kafka_python()):
        assert options["security_protocol"] == "SASL_SSL"
        assert options["sasl_mechanism"] == "SCRAM-SHA-512"
        assert options["sasl_plain_password"] == SASL.password
        assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert options["ssl_context"].check_hostname


def test_kafka_python_needs_the_scram_name_escaped() -> None:
    assert SASL.for_aiokafka()["sasl_plain_username"] == "a=b,c"
    assert SASL.for_kafka_python()["sasl_plain_username"] == "a=3Db=2Cc"
    plain = Security("SASL_SSL", "PLAIN", username="a=b,c", password="x")
    assert plain.for_kafka_python()["sasl_plain_username"] == "a=b,c"


def test_the_host_name_may_go_unchecked_and_the_certificate_not() -> None:
    context = Security("SSL", check_hostname=False).ssl_context()
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_faust_hands_on_what_it_is_given(tmp_path: Path, protocol: str, mechanism: str) -> None:
    security = Security(protocol, mechanism, username="a=b,c", password='p"w{},=\\')  # type: ignore[arg-type]
    auth = _auth_of(security, tmp_path)
    assert (auth["ssl_context"] is not None) == security.tls
    expected = security.for_aiokafka()
    for name in ("security_protocol", "sasl_mechanism", "sasl_plain_username"):
        assert auth[name] == expected[name]
    assert auth["sasl_plain_password"] == security.password


def test_faust_hands_on_tls_alone_and_nothing(tmp_path: Path) -> None:
    auth = _auth_of(Security("SSL"), tmp_path)
    assert auth["security_protocol"] == "SSL"
    assert isinstance(auth["ssl_context"], ssl.SSLContext)
    assert auth["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert _auth_of(PLAINTEXT, tmp_path) == {"security_protocol": "PLAINTEXT"}


def _auth_of(security: Security, folder: Path) -> dict[str, object]:
    group = GroupSettings("group", "localhost:1", security=security)
    app: faust.App = build_app(group, [], None, None, folder)  # type: ignore[arg-type] # no topic
    auth: dict[str, object] = credentials_to_aiokafka_auth(
        app.conf.broker_credentials, app.conf.ssl_context
    )
    return auth


def test_files_that_are_not_what_they_should_be_are_named(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(SecurityError, match=r"ca_file .*nonsense\.pem cannot be used"):
        Security("SSL", ca_file=nonsense).ssl_context()
    with pytest.raises(SecurityError, match=r"cert_file .*nonsense\.pem cannot be used"):
        Security("SSL", cert_file=nonsense).ssl_context()
    one, other = trustme.CA().issue_cert("one"), trustme.CA().issue_cert("other")
    one.cert_chain_pems[0].write_to_path(str(tmp_path / "one.pem"))
    other.private_key_pem.write_to_path(str(tmp_path / "other.key"))
    with pytest.raises(SecurityError, match="key values mismatch"):
        Security(
            "SSL", cert_file=tmp_path / "one.pem", key_file=tmp_path / "other.key"
        ).ssl_context()


Answer = Callable[[bytes], bytes | None]


@contextmanager
def listener(answer: Answer) -> Iterator[str]:
    """Speaks frames of Kafka's form, and hangs up where ``answer`` has none."""
    loop = asyncio.new_event_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                answered = answer(await reader.readexactly(size))
                if answered is None:
                    return
                writer.write(struct.pack(">i", len(answered)) + answered)
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", free_port()))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def broker_of(versions: dict[int, tuple[int, int]]) -> Answer:
    """Answers ApiVersions, version 0, and hangs up on all else."""

    def answer(request: bytes) -> bytes | None:
        key, _, correlation = struct.unpack(">hhi", request[:8])
        if key != 18:
            return None
        rows = b"".join(struct.pack(">hhh", key, *both) for key, both in versions.items())
        return struct.pack(">ihi", correlation, 0, len(versions)) + rows

    return answer


#: Of Kafka 1.1, by its documents: no zstd yet.
OLD = {0: (0, 5), 1: (0, 7), 2: (0, 2), 3: (0, 5), 18: (0, 1)}
NEW = {**OLD, 0: (0, 7), 1: (0, 10)}


def test_a_broker_that_is_too_old_is_refused() -> None:
    with listener(broker_of(OLD)) as address, pytest.raises(BrokerUnsupportedError) as error:
        require_access(address)
    assert f"the broker at {address} is older than Kafka 2.1" in str(error.value)
    assert "Produce request is version 5, expected 7" in str(error.value)
    assert "upgrade it" in str(error.value)


def test_a_broker_of_the_oldest_version_is_not() -> None:
    """It passes the check of versions, and hangs up on the question after it."""
    with listener(broker_of(NEW)) as address, pytest.raises(BrokerUnavailableError) as error:
        require_access(address)
    assert "the broker hung up on a client without a user" in str(error.value)


def test_a_broker_without_versions_is_said_to_be_none() -> None:
    with listener(lambda _: None) as address, pytest.raises(BrokerUnavailableError) as error:
        require_access(address)
    assert "one older than 0.10" in str(error.value)


def test_what_is_for_good_says_more_than_what_may_pass() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with listener(broker_of(OLD)) as address, pytest.raises(BrokerUnsupportedError):
        require_access(f"{nowhere},{address}")


def test_a_running_event_loop_is_no_obstacle() -> None:
    async def main() -> None:
        require_access(f"127.0.0.1:{free_port()}")

    with pytest.raises(BrokerUnavailableError, match="Connection refused"):
        asyncio.run(main())
