"""Run every benchmark, one after the other, on a machine that does nothing else."""

import json
import os
import platform
import sqlite3
import sys

from bench import cosmos, ingest, memory, servicebus, store, throughput


def main() -> None:
    """Print each benchmark's figures as it ends."""
    machine = {"cores": os.cpu_count(), "python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
    print(json.dumps({"machine": {**machine, "system": platform.platform()}}))
    for benchmark in (store, ingest, throughput, memory, servicebus, cosmos):
        print(json.dumps({benchmark.__name__: benchmark.run()}, default=str), flush=True)


if __name__ == "__main__":
    main()
