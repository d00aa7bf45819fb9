"""Secrets in an archive are encrypted in age's format, and come back only if asked for."""

import io
import json
import os
import pty
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
from backports import zstd
from forgery import backup, entry, forge, refused

from proto_loc.backup import encryption, make, restore
from proto_loc.backup.make import Wish
from proto_loc.backup.plan import Terms
from proto_loc.errors import LocError


def test_secrets_come_only_if_asked_for_and_encrypted(platform, empty, target, tmp_path):
    """A passphrase or a key opens them; a wrong one changes nothing."""
    identity = pyrage.x25519.Identity.generate()
    key = tmp_path / "key.txt"
    key.write_text(f"# made by age-keygen\n{identity}\n")
    words, keyed = target, target.with_name("keyed.tar.zst")
    make.backup(words, Wish(secrets=True, passphrase="correct horse"), who="test")
    recipients = (str(identity.to_public()),)
    make.backup(keyed, Wish(secrets=True, recipients=recipients), who="test")
    for path in (words, keyed):
        assert b"s3cr3t-word" not in zstd.decompress(path.read_bytes())
    empty.use()
    other = tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    refused(keyed, empty, "cannot be decrypted", terms=Terms(secrets=True, identity=other))
    refused(keyed, empty, "has no private key", terms=Terms(secrets=True, identity=words))
    secret = empty.home / "run/secrets/shop-dsn"
    result = restore.restore(keyed, Terms())
    assert not secret.exists() and "were not restored" in result.notes[0]
    restore.restore(words, Terms(force=True, secrets=True, passphrase="correct horse"))
    assert secret.read_text() == "s3cr3t-word\n" and secret.stat().st_mode & 0o777 == 0o600
    secret.unlink()
    restore.restore(keyed, Terms(force=True, secrets=True, identity=key))
    assert secret.read_text() == "s3cr3t-word\n" and secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["x", "[1]", '{"../x": "y"}', '{"x": 7}', '{"x": "\\ud800"}', "[" * 100_000]
)
def test_secrets_that_no_backup_writes_are_refused(tmp_path, text):
    """Anybody can encrypt for a public key."""
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(identity))
    content = pyrage.encrypt(text.encode(), [identity.to_public()])
    with pytest.raises(LocError, match="cannot be restored"):
        encryption.decrypt(content, tmp_path / "key.txt", "")


def test_a_secret_of_this_clone_is_not_overwritten(platform, empty, target, tmp_path):
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(str(identity))
    recipients = (str(identity.to_public()),)
    make.backup(target, Wish(secrets=True, recipients=recipients), who="test")
    empty.use()
    secret = empty.home / "run/secrets/shop-dsn"
    secret.parent.mkdir(parents=True, mode=0o700)
    secret.write_text("other\n")
    secret.chmod(0o600)
    terms = Terms(secrets=True, identity=tmp_path / "key.txt")
    refused(target, empty, "would replace secrets.*shop-dsn", terms=terms)
    restore.restore(target, replace(terms, force=True))
    assert secret.read_text() == "s3cr3t-word\n"


def test_an_archive_without_secrets_says_so(monday, empty):
    refused(monday, empty, "The archive has no secrets", terms=Terms(secrets=True, passphrase="x"))


@pytest.fixture
def age(tmp_path):
    """Runs the program age; a passphrase goes to its terminal."""
    if not (shutil.which("age") and shutil.which("ssh-keygen")):
        pytest.skip("age is not installed (Debian: apt-get install age openssh-client)")

    def run(*arguments: str | Path, passphrase: str = "") -> bytes:
        result = tmp_path / "result"
        command = ["age", "--output", str(result), *map(str, arguments)]
        if not passphrase:
            subprocess.run(command, check=True, capture_output=True)
            return result.read_bytes()
        process, terminal = pty.fork()
        if process == 0:
            os.execvp("age", command)
        prompts = 0
        try:
            while shown := os.read(terminal, 1024):
                for _ in range(shown.count(b"assphrase")):
                    os.write(terminal, f"{passphrase}\n".encode())
                    prompts += 1
        except OSError:  # Linux reports the end of a terminal so
            pass
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0 and prompts
        return result.read_bytes()

    return run


@pytest.fixture
def key(age, tmp_path) -> Path:
    """A private key that age's own program made."""
    subprocess.run(["age-keygen", "-o", tmp_path / "key.txt"], check=True, capture_output=True)
    return tmp_path / "key.txt"


def public(key: Path) -> str:
    done = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def encrypted(archive: Path, folder: Path) -> Path:
    """Take the encrypted secrets out of an archive, as `tar --zstd` does."""
    with tarfile.open(fileobj=io.BytesIO(zstd.decompress(archive.read_bytes()))) as members:
        members.extract("secrets.age", folder, filter="data")
    return folder / "secrets.age"


def test_the_program_age_opens_what_a_backup_encrypted(platform, target, tmp_path, age, key):
    """So the secrets of an archive are not lost with this program."""
    backup(target, Wish(secrets=True, recipients=(public(key),)))
    path = encrypted(target, tmp_path)
    assert json.loads(age("--decrypt", "--identity", key, path)) == {"shop-dsn": "s3cr3t-word"}
    words = target.with_name("words.tar.zst")
    backup(words, Wish(secrets=True, passphrase="correct horse"))
    path = encrypted(words, tmp_path)
    content = age("--decrypt", path, passphrase="correct horse")
    assert json.loads(content) == {"shop-dsn": "s3cr3t-word"}


def test_a_restore_opens_what_the_program_age_encrypted(empty, target, tmp_path, age, key):
    """For a key of age, one of SSH without a passphrase, and with a passphrase."""
    empty.use()
    plain, secret = tmp_path / "plain", empty.home / "run/secrets/shop-dsn"
    plain.write_text('{"shop-dsn": "s3cr3t-word"}')
    ssh = tmp_path / "ssh"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ssh], check=True)
    line = ssh.with_suffix(".pub").read_text().strip()
    terms = Terms(force=True, secrets=True)
    for content, opened in (
        (age("--recipient", public(key), plain), replace(terms, identity=key)),
        (age("--recipient", line, plain), replace(terms, identity=ssh)),
        (age("--passphrase", plain, passphrase="horse"), replace(terms, passphrase="horse")),
    ):
        forge(target, [entry("secrets.age", content)], [content])
        restore.restore(target, opened)
        assert secret.read_text() == "s3cr3t-word\n"
        secret.unlink()
