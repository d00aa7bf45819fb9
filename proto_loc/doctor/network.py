"""Checks of what lies between this machine and others: proxies, certificates, hosts of sources.

Each address gets one connection without data, and all of them at once.
"""

import configparser
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from proto_loc import credentials
from proto_loc.doctor.finding import Finding, ok
from proto_loc.errors import LocError
from proto_loc.sources import find_sources
from proto_loc.sources.dlt.declaration import Rest, Sql

PATIENCE = 1.0
"""Seconds that a host has to answer."""
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
SCHEMES = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080}
SCHEMES |= {"socks5h": 1080}
CERTIFICATES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("NODE_EXTRA_CA_CERTS", "PIP_CERT", "UV_SSL_CERT_FILE"),
)
INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "PIP_INDEX_URL")
DATABASE_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mariadb": 3306}

Address = tuple[str, int]


def proxies() -> Iterator[Finding]:
    """Read the variables that name a proxy, and connect to it."""
    named: dict[str, Address] = {}
    sound = True
    for name in sorted(os.environ):
        if name.lower() not in PROXIES or not os.environ[name]:
            continue
        address = address_of(os.environ[name])
        if address is None:
            sound = False
            yield Finding(
                "fail",
                f"{name} names no proxy.",
                "It must be a URL: a scheme such as http, a host, and a port.",
                f"export {name}=http://HOST:PORT, or unset {name}",
                symptom="Set-up or a source finds no host: the proxy cannot be used",
            )
        else:
            named[name] = address
    for name, reason in _unreachable(named).items():
        sound = False
        host, port = named[name]
        yield Finding(
            "warn",
            f"The proxy of {name}, {host}:{port}, does not answer.",
            reason,
            f"Start it, correct {name}, or unset it; the services themselves go around it.",
            symptom="Set-up or a source finds no host: the proxy cannot be used",
        )
    if sound:
        yield ok(f"{', '.join(named)} can be used" if named else "No proxy is set")


def mirrors() -> Iterator[Finding]:
    """Look for certificates that are gone, and for a package registry that does not answer."""
    sound = True
    for name in CERTIFICATES:
        if (path := os.environ.get(name)) and not Path(path).exists():
            sound = False
            yield Finding(
                "fail",
                f"{name}={path} is not there.",
                "Programs read certificates from it, and then trust no host.",
                f"Put the file there, or unset {name}",
                symptom="Set-up or a source says that a certificate cannot be verified",
            )
    indexes = _indexes()
    addresses = {name: address for name, url in indexes.items() if (address := address_of(url))}
    for name, reason in ({} if has_proxy() else _unreachable(addresses)).items():
        sound = False
        host, port = addresses[name]
        yield Finding(
            "warn",
            f"The package registry of {name}, {host}:{port}, does not answer.",
            reason,
            "Correct that setting (docs/versions.md); what is installed works without a registry.",
            symptom="Set-up cannot download packages from a mirror",
        )
    if sound:
        yield ok(
            f"The package registry is that of {', '.join(indexes)}"
            if indexes
            else "Packages come from the usual registry; no other one is set"
        )


def _indexes() -> dict[str, str]:
    """The package registries that are set, by the variable or the file that names each."""
    indexes = {name: os.environ[name].split()[-1] for name in INDEXES if os.environ.get(name)}
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    for path in (Path("/etc/pip.conf"), home / "pip/pip.conf", Path("~/.pip/pip.conf")):
        parser = configparser.ConfigParser(interpolation=None)
        with suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(path.expanduser())
            if not indexes and parser.get("global", "index-url", fallback=""):
                indexes[str(path)] = parser["global"]["index-url"]
    return indexes


def hosts() -> Iterator[Finding]:
    """Connect to the host of each source that fetches from a database or an API."""
    try:
        sources = find_sources()
    except LocError:
        return  # the check of the sources reports it
    addresses: dict[str, Address] = {}
    for name, source in sources.items():
        place = getattr(source, "where", None)
        url = place.url if isinstance(place, Rest) else ""
        if isinstance(place, Sql):
            with suppress(LocError):  # `loc load` names a missing secret
                url = credentials.given(place.dsn)
        if url and (address := address_of(url)):
            addresses[name] = address
    for name, reason in ({} if has_proxy() else _unreachable(addresses)).items():
        host, port = addresses[name]
        yield Finding(
            "warn",
            f"The host of the source {name}, {host}:{port}, does not answer.",
            reason,
            f"Start it, or connect to its network; then `loc load {name}`. The published data"
            " stays.",
            symptom="A source cannot be fetched: its host does not answer",
        )
        addresses.pop(name)
    yield ok(
        f"{', '.join(sorted(addresses))}: the hosts answer"
        if addresses and not has_proxy()
        else "No source has a host that could be asked from here"
    )


def has_proxy() -> bool:
    """Whether a proxy stands between this machine and others, which only it can reach."""
    return any(os.environ.get(name) for one in PROXIES for name in (one, one.upper()))


def address_of(url: str) -> Address | None:
    """The host and port of a URL or an SQLAlchemy URL; None if it has none."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        scheme = parts.scheme.partition("+")[0]
        port = parts.port or SCHEMES.get(scheme) or DATABASE_PORTS.get(scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname and port else None


def _unreachable(addresses: dict[str, Address]) -> dict[str, str]:
    """Why each of these addresses cannot be reached, by name; the others are left out."""
    answers: dict[str, str] = {}
    threads = [
        threading.Thread(target=_connect, args=(name, address, answers), daemon=True)
        for name, address in addresses.items()
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 2 * PATIENCE  # a look-up of a name has no time-out of its own
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    reasons = {name: answers.get(name, "Its name is still being looked up.") for name in addresses}
    return {name: reason for name, reason in reasons.items() if reason}


def _connect(name: str, address: Address, answers: dict[str, str]) -> None:
    try:
        socket.create_connection(address, timeout=PATIENCE).close()
        answers[name] = ""
    except OSError as error:
        answers[name] = f"{error.strerror or error}.".capitalize()
