"""An image's health check: exit 0 if the service in this container takes in what is sent to it, otherwise say why not.

Not whether it is ready: who replaces unhealthy containers would then replace those that only wait for the bus.
"""

import http.client
import os
import sys
from typing import Final

TIMEOUT_S: Final = 4.0


def trouble(port: int) -> str | None:
    """Return what keeps the service on this port from taking requests, None if nothing does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/accepting")
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"port {port} does not answer: {error}"
    finally:
        connection.close()
    return None if answer.status == http.client.OK else said


if __name__ == "__main__":
    sys.exit(trouble(int(os.environ["ZEKT_PORT"])))
