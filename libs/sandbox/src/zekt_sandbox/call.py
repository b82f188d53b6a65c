"""`python -m zekt_sandbox.call METHOD PATH [JSON]`: one control of a running GitHub stand-in, from a shell."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from typing import TextIO

NOT_REACHABLE = 3


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m zekt_sandbox.call", description=__doc__)
    parser.add_argument("method", type=str.upper, help="GET, POST, PUT, PATCH or DELETE")
    parser.add_argument("path", help="what comes after /_sandbox/")
    parser.add_argument("body", nargs="?", help="a JSON object")
    default = os.environ.get("ZEKT_SANDBOX_URL", "http://127.0.0.1:8081")
    parser.add_argument(
        "--at", metavar="URL", default=default, help="where the stand-in is (ZEKT_SANDBOX_URL, or %(default)s)"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Print what the control answers; 1 when it refuses, 3 when nobody is there."""
    arguments = _arguments(argv)
    request = urllib.request.Request(  # noqa: S310 - the caller says which stand-in
        f"{arguments.at}/_sandbox/{arguments.path.lstrip('/')}",
        method=arguments.method,
        data=None if arguments.body is None else arguments.body.encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
            _show(answer.read(), sys.stdout)
    except urllib.error.HTTPError as error:
        _show(error.read(), sys.stderr)
        return 1
    except OSError as error:
        sys.stderr.write(f"zekt-sandbox: nobody answers at {arguments.at}: {error}\n")
        return NOT_REACHABLE
    return 0


def _show(content: bytes, out: TextIO) -> None:
    if content:
        out.write(json.dumps(json.loads(content), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
