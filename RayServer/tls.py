"""Certificates by which the machines of a cluster know each other and hide what they say, when DAME_TLS is 1.

The head makes a certificate authority beside the token, once. Every process that starts Ray makes a certificate with
it, for the names and addresses that its machine has just then, so that nothing need be handed out when machines come
and go. Ray asks both sides of each connection for one; its web pages and its metrics stay plain HTTP.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from core.directory import directory_failure, make_directory, write_durably
from core.host import host_name
from core.token_file import SECRET_MODE
from RayServer.claim import main_address, own_address
from RayServer.secrets import AUTHORITY, AUTHORITY_KEY, has_authority
from RayServer.settings import Settings

CLIENT = "client.pem"
"""Certificate and key for clients outside of the cluster, who copy it and the authority's certificate."""
OWN = "tls.pem"
"""Certificate and key of a machine, in one file so that they change together."""

LIFETIME_DAYS = 3650
COMMON_NAME_MAX = 64

_NOTHING = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)
_AUTHORITY_MAY = x509.KeyUsage(**{**_NOTHING, "key_cert_sign": True})
_MACHINE_MAY = x509.KeyUsage(**{**_NOTHING, "digital_signature": True})


@dataclass(frozen=True)
class Identified:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM) + self.key_pem()

    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_authority(secrets: Path) -> bool:
    """Make the cluster's authority, and a certificate for clients, unless they are there. True if they were made.

    Raises DirectoryFailure.
    """
    if has_authority(secrets):
        return False
    authority = _issue("DAME cluster", (), None)
    make_directory(secrets)
    try:
        write_durably(secrets / CLIENT, _issue("DAME client", (), authority).pem(), SECRET_MODE)
        write_durably(secrets / AUTHORITY, authority.certificate.public_bytes(Encoding.PEM))
        write_durably(secrets / AUTHORITY_KEY, authority.key_pem(), SECRET_MODE)
    except OSError as error:
        raise directory_failure(secrets, error) from error
    return True


def certify(settings: Settings) -> dict[str, str]:
    """Make this machine's certificate, and answer with what Ray's processes must be told of it.

    Raises DirectoryFailure.
    """
    secrets = settings.secrets
    path = settings.run_directory / OWN
    try:
        key = load_pem_private_key((secrets / AUTHORITY_KEY).read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((secrets / AUTHORITY).read_bytes())
        assert isinstance(key, ec.EllipticCurvePrivateKey), key
        own = _issue(host_name(), names_here(settings), Identified(certificate, key))
        write_durably(path, own.pem(), SECRET_MODE)
    except OSError as error:
        raise directory_failure(secrets, error) from error
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_SERVER_CERT": str(path),
        "RAY_TLS_SERVER_KEY": str(path),
        "RAY_TLS_CA_CERT": str(secrets / AUTHORITY),
    }


def names_here(settings: Settings) -> list[str]:
    """All names and addresses by which others may call this machine."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), host_name(), settings.head_host}
    names.update(settings.tls_names)
    names.add(main_address())
    names.update(filter(None, (settings.node_address, own_address(settings.head_host, settings.gcs_port))))
    return sorted(names)


def _issue(common_name: str, names: Sequence[str], authority: Identified | None) -> Identified:
    """A new certificate, signed by the authority; an authority itself if none is given."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = authority.key if authority else key
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name[:COMMON_NAME_MAX])])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=LIFETIME_DAYS))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(_AUTHORITY_MAY if authority is None else _MACHINE_MAY, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        alternative = x509.SubjectAlternativeName([_general(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    return Identified(builder.sign(signer, hashes.SHA256()), key)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
