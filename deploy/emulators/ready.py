"""Exit 0 if all emulators are up: a container of ours asks for them, since their images have no shell to ask with."""  # noqa: INP001 - a script that a container is given, no package

import argparse
import http.client
import sys
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 3.0


def status_at(url: str) -> int:
    """Return the status that is answered; 0 where nothing answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def not_up(healthy: list[str], answering: list[str]) -> list[str]:
    """Return the URLs that are not as they should be; a refusal of who is not known is an answer."""
    ill = [url for url in healthy if status_at(url) != http.client.OK]
    silent = [url for url in answering if not 0 < status_at(url) < http.client.INTERNAL_SERVER_ERROR]
    return ill + silent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--healthy", nargs="+", default=[], help="URLs of health checks")
    parser.add_argument("--answering", nargs="+", default=[], help="URLs of what has no health check")
    asked = parser.parse_args()
    missing = not_up(asked.healthy, asked.answering)
    sys.stderr.writelines(f"{url} is not ready\n" for url in missing)
    sys.exit(bool(missing))
