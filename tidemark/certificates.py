"""The certificate that the retrieval service shows."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tidemark.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["require_certificate"]


def require_certificate(cert_file: Path | None, key_file: Path | None) -> None:
    """Check them before anything slow begins. Nothing to check without a certificate.

    Raises:
        SettingsError: they cannot be used; says why.
    """
    if cert_file is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key that is encrypted would be asked for on the terminal; with this it is refused.
        context.load_cert_chain(cert_file, key_file, password=lambda: b"")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, ssl.SSLError) and error.reason:
            reason = error.reason.replace("_", " ").lower()
        raise SettingsError(
            f"retrieval.cert_file {cert_file} and key_file {key_file or 'in it'} cannot be used: "
            f"{reason}; expected a certificate and its key in PEM, not encrypted"
        ) from error
