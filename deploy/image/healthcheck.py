"""Whether the process in this container lives: exit status 0 or 1, and a line that says why.

The image serves as worker or as retrieval service, each with /healthz on a port of its own; what
answers is asked. A worker needs worker.metrics_port 9100 and a host that loopback reaches.
"""

from __future__ import annotations

import http.client
import ssl
import sys

#: Of the worker and of the retrieval service.
PORTS = (9100, 8080)
_SECONDS = 4.0  # below the health check's own limit, so that the reason is told


def ask(port: int) -> tuple[int, str] | None:
    """Status and first line of /healthz; None where nothing listens."""
    for tls in (False, True):
        try:
            return _get(port, tls=tls)
        except ConnectionRefusedError:
            return None
        except (ssl.SSLError, http.client.BadStatusLine, ConnectionResetError):
            continue  # the service may speak TLS, which plain HTTP learns by being cut off
        except (TimeoutError, OSError) as error:
            return 0, f"port {port}: {error}"
    return 0, f"port {port} speaks neither HTTP nor HTTPS"


def _get(port: int, *, tls: bool) -> tuple[int, str]:
    connection: http.client.HTTPConnection
    if tls:
        # The certificate names the service, not loopback; nothing secret is sent.
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_SECONDS, context=trusting
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, answer.read(500).decode("utf-8", "replace").strip()
    finally:
        connection.close()


def main(ports: tuple[int, ...] = PORTS) -> int:
    """Healthy when something answers, and nothing that does says that it is not."""
    answers = [answer for port in ports if (answer := ask(port)) is not None]
    if not answers:
        sys.stdout.write(f"nothing listens on {' or '.join(map(str, ports))}\n")
        return 1
    for status, line in answers:
        sys.stdout.write(f"{status} {line}\n")
    return 0 if all(status == http.client.OK for status, _ in answers) else 1


if __name__ == "__main__":
    sys.exit(main())
