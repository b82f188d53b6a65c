"""Run every benchmark, or those that are named, one after the other, on a machine that does nothing else."""

import json
import os
import platform
import sqlite3
import sys

from bench import cold_start, cosmos, ingest, lookup, memory, servicebus, store, throughput

BENCHMARKS = {
    "store": store,
    "ingest": ingest,
    "throughput": throughput,
    "memory": memory,
    "lookup": lookup,
    "cold_start": cold_start,
    "servicebus": servicebus,
    "cosmos": cosmos,
}


def main() -> None:
    """Print each benchmark's figures as it ends."""
    if unknown := set(sys.argv[1:]) - set(BENCHMARKS):
        sys.exit(f"there is no benchmark {', '.join(sorted(unknown))}: choose from {', '.join(BENCHMARKS)}")
    machine = {"cores": os.cpu_count(), "python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
    print(json.dumps({"machine": {**machine, "system": platform.platform()}}))
    for name in sys.argv[1:] or BENCHMARKS:
        print(json.dumps({name: BENCHMARKS[name].run()}, default=str), flush=True)


if __name__ == "__main__":
    main()
