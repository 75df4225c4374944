"""The emulator's own certificate authority and its server certificate, kept 0600 in the home and renewed in time.

The authority is constrained to loopback names, so that trusting it can't be used against any other host. `ca.pem` is
the authority alone, `bundle.pem` the authority and the ones that the machine trusts, for clients that take one file.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS, SERVER_DAYS, RENEW_DAYS = 3650, 397, 30
"""397 days is the most that clients accept of a server's certificate."""
SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
CHOSEN_BUNDLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
"""A company's own authority is named in one of these."""
PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
NAMES = ("localhost", "*.blob.core.localhost")
ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Files:
    """Where the certificates are."""

    ca: Path
    bundle: Path
    certificate: Path
    key: Path


def files(home: Path) -> Files:
    """Name the files of a home, whether they are there or not."""
    folder = home / "tls"
    return Files(folder / "ca.pem", folder / "bundle.pem", folder / "server.pem", folder / "server.key")


def ensure(home: Path) -> Files:
    """Make what is missing or near its end; idempotent. Call it with the home's lock held."""
    found = files(home)
    folder = found.ca.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    ca_key_file = folder / "ca.key"
    renewed = False
    if not ca_key_file.exists() or _ends_soon(found.ca):
        _issue_ca(ca_key_file, found.ca)
        renewed = True
    if renewed or not found.key.exists() or _ends_soon(found.certificate):
        _issue_server(ca_key_file, found)
    bundle = _bundle(found)
    if not found.bundle.exists() or found.bundle.read_text() != bundle:
        _write(found.bundle, bundle.encode())
    return found


def _bundle(found: Files) -> str:
    """Return our authority, then everything that this machine trusts: other hosts must keep working."""
    chosen = [os.environ[name] for name in CHOSEN_BUNDLES if os.environ.get(name)]
    others = [Path(name) for name in (*SYSTEM_BUNDLES, *chosen) if Path(name) != found.bundle and Path(name).is_file()]
    texts = [found.ca.read_text(), certifi.contents(), *(path.read_text(errors="replace") for path in others)]
    blocks = [block for text in texts for block in PEM.findall(text)]
    return "\n".join(dict.fromkeys(blocks)) + "\n"


def _ends_soon(path: Path) -> bool:
    if not path.exists():
        return True
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=RENEW_DAYS)


def _issue_ca(key_file: Path, certificate_file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Trainyard emulator {os.urandom(4).hex()}")])
    loopback = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
        x509.IPAddress(ipaddress.ip_network("::1/128")),
    ]
    certificate = (
        _builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=loopback, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(key_file, _pem(key))
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))


def _issue_server(ca_key_file: Path, found: Files) -> None:
    ca_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{ca_key_file} does not hold the key that this program writes")
    ca = x509.load_pem_x509_certificate(found.ca.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ADDRESSES]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        _builder(subject, ca.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(found.key, _pem(key))
    _write(found.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> None:
    aside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
