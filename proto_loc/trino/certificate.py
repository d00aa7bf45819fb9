"""The certificate of Trino's ports: self-signed, for this machine only."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from proto_loc import files
from proto_loc.settings import private_folder
from proto_loc.trino import places

LIFE = timedelta(days=820)
"""macOS refuses longer ones."""
RENEWED = timedelta(days=90)
"""So long before its end, the next start makes a new one."""


def ensure() -> Path:
    """Return the path of the certificate; make a new one if there is none or it ends soon.

    Raises:
        OSError: it cannot be written.
    """
    path = places.certificate()
    private_folder(path.parent)
    with files.locked(path.with_name("lock")):
        if not places.certificate_with_key().exists() or is_old(path):
            _make()
    return path


def is_old(path: Path) -> bool:
    """Whether a certificate ends so soon that the next start makes a new one."""
    return ends(path) < _now() + RENEWED


def ends(path: Path) -> datetime:
    """When a certificate ends; the beginning of time if the file has none."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def _make() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proto_loc on this machine")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(places.HOST))]
    usage = x509.ExtendedKeyUsage(
        [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - timedelta(hours=1))
        .not_valid_after(_now() + LIFE)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    # With the key first, so that a start between the two repeats it.
    files.replace(places.certificate_with_key(), private + public, private=True)
    files.replace(places.certificate(), public, private=True)


def _now() -> datetime:
    return datetime.now(UTC)
