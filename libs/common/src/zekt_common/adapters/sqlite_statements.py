"""Statements over many rows at once: each SQLite call costs a GIL hand-over, so the hot paths make few."""

import functools
import sqlite3
from collections.abc import Sequence
from typing import Any

ROWS_PER_STATEMENT = 128


def insert_rows(
    connection: sqlite3.Connection, insert: str, width: int, values: Sequence[Any], after: str = ""
) -> None:
    """Insert rows of `width` columns, given flat in `values`, by statements of up to 128 rows.

    `insert` ends before VALUES; `after` follows the rows, such as an ON CONFLICT clause.
    """
    step = width * ROWS_PER_STATEMENT
    for start in range(0, len(values), step):
        chunk = values[start : start + step]
        connection.execute(_statement(insert, width, len(chunk) // width, after), chunk)


@functools.cache
def _statement(insert: str, width: int, rows: int, after: str) -> str:
    row = f"({', '.join(['?'] * width)})"
    return f"{insert} VALUES {', '.join([row] * rows)} {after}"
