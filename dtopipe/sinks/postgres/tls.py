"""What stands in the way of an encrypted connection to a Postgres server, in words, with the way out."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_IN_DSN = "in the dsn: ?sslmode=verify-full&sslrootcert=/path/to/ca.crt"
_ROOT = f"name the certificate of the authority that signed the server's, {_IN_DSN}"
_CLIENT = "name the client's certificate and key in the dsn: sslcert=/path/client.crt&sslkey=/path/client.key"
# What a file is good for, by libpq's name of it.
_USES = {
    "sslrootcert": ("the certificate of the server's authority", _ROOT),
    "sslcert": ("the client's certificate", _CLIENT),
    "sslkey": ("the client's key", _CLIENT),
    "sslcrl": ("the list of revoked certificates", "name another one, or leave it out"),
}
# What OpenSSL says of the server's certificate, by number (X509_V_ERR_...), and the way out.
_OF_CERTIFICATE = {
    9: "set this machine's clock, or give the server a certificate that is valid now",
    10: "give the server a certificate that is valid now (or set this machine's clock, if that is wrong)",
    23: "give the server another certificate: this one was revoked",
    62: "write host as it stands in the certificate, or give the server one that names this host",
    64: "write host as it stands in the certificate, or give the server one that names this address",
}


class Refusal(NamedTuple):
    """`is_final`: trying again would change nothing, for it is a matter of files and settings here."""

    message: str
    remedy: str
    is_final: bool


def refusal_of_files(files: Mapping[str, str]) -> Refusal | None:
    """What is wrong with these files, by libpq's names of them; None if each can be read and is what it should be."""
    for name, file in files.items():
        what, remedy = _USES[name]
        path = Path(file).absolute()
        try:
            with path.open("rb") as opened:
                opened.read(1)
        except OSError as error:
            return Refusal(f"{name} {path}, {what}, cannot be read ({error.strerror})", remedy, True)
        if name in ("sslrootcert", "sslcrl"):
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(path))
            except (ssl.SSLError, OSError):
                return Refusal(f"{name} {path} is not {what} in PEM", remedy, True)
    return None


def refusal_of_handshake(error: BaseException) -> Refusal | None:
    """Why there is no encrypted connection; None if that is not what is wrong."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = error.verify_message.rstrip(".")
        remedy = _OF_CERTIFICATE.get(error.verify_code, _ROOT)
        return Refusal(f"the server's certificate is refused ({said})", remedy, False)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error).partition("] ")[2]).partition(" (_ssl")[0].replace("_", " ").lower()
        if "key values mismatch" in reason:
            return Refusal("sslkey is not the key of sslcert", _CLIENT, True)
        if "pem lib" in reason or "bad decrypt" in reason or "bad password" in reason:
            message = f"sslcert and its sslkey cannot be read as PEM ({reason})"
            return Refusal(message, f"{_CLIENT}, and sslpassword=... if the key has one", True)
        if "alert" in reason:
            return Refusal(f"the server refuses the encrypted connection ({reason})", f"{_CLIENT}; see its log", False)
        return Refusal(f"no encrypted connection comes about ({reason})", "see the server's log", False)
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return Refusal(
            "the server speaks without encryption only",
            "set ssl = on there; or, on a network that you trust, sslmode=prefer in the dsn",
            False,
        )
    return None


def refusal_of_silence(files: Mapping[str, str]) -> Refusal | None:
    """The refusal by a server that ends a connection at its beginning without a word, as it does since TLS 1.3."""
    if "sslcert" not in files:
        return None
    message = "the server ended the connection at once: most likely it does not know who signed sslcert"
    return Refusal(message, f"{_CLIENT}; the server's ssl_ca_file must have who signed it; see its log", False)


def remedy_of_refused_user(said: str) -> str | None:
    """The way out where a server refuses a user for the sake of the encryption; None if that is not why."""
    if "client certificate" in said or "certificate authentication failed" in said:
        return _CLIENT
    if "no encryption" in said or "SSL off" in said:
        return f"the server wants an encrypted connection, {_IN_DSN} (or sslmode=require)"
    return None


def refusal_of_settings(said: str) -> Refusal | None:
    """What asyncpg says of settings that are no good, where it is about the encryption; it then has no secret in it."""
    if "root certificate file" in said:
        return Refusal(f"the server's certificate cannot be checked: {said}", _ROOT, True)
    if said.startswith("`ssl") or "TLS" in said:
        return Refusal(said.replace("`", ""), "see sslmode in the dsn, or PGSSLMODE in the environment", True)
    return None
