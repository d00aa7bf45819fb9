"""The floor of the pipeline's benchmark; run as a program: ``bare.py FILE RAW STATEMENTS``.

One DuckDB connection on a new FILE, with the catalogue RAW attached read-only, runs the list of SQL
statements in the JSON file STATEMENTS. It imports nothing else, so that its time is DuckDB's.
"""

import json
import sys

import duckdb

if __name__ == "__main__":
    file, raw, statements = sys.argv[1:]
    with duckdb.connect(file) as con:
        con.execute(f"attach '{raw}' as raw (read_only)")
        with open(statements) as listed:
            for statement in json.load(listed):
                con.execute(statement)
