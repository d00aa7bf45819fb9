"""Tries whether a key reads the secrets in Superset's metadata.

It runs as a program in Superset's environment, with the SQLite file and the key's file as
arguments, and prints ``another key`` or the number of secrets that the key reads.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

COLUMNS = ("password", "encrypted_extra", "server_cert")
"""The encrypted columns of the table of databases."""


def main(database: str, key: str) -> None:
    with closing(sqlite3.connect(f"file:{quote(database)}?mode=ro", uri=True, timeout=2)) as con:
        table = {row[1] for row in con.execute("pragma table_info(dbs)")}
        secrets = [
            secret
            for column in COLUMNS
            if column in table
            for (secret,) in con.execute(f"select {column} from dbs where {column} is not null")
        ]
    if not secrets:
        print("0 secrets")
        return
    from sqlalchemy_utils.types.encrypted.encrypted_type import AesEngine

    engine = AesEngine()
    engine._update_key(Path(key).read_text().strip())
    engine._set_padding_mechanism()
    try:
        for secret in secrets:
            engine.decrypt(secret)
    except ValueError:
        print("another key")
        return
    print(f"{len(secrets)} secrets")


if __name__ == "__main__":
    main(*sys.argv[1:])
