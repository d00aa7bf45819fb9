"""Runs SQL in a plain DuckDB process: the lower bound of the pipeline benchmark.

It is started as ``bare.py FILE RAW STATEMENTS``. One connection on a new FILE, with the catalogue
RAW attached read-only, runs the SQL statements in the JSON file STATEMENTS. The program imports
nothing else, so that the benchmark measures only DuckDB's time.
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
