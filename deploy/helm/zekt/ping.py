"""Send ingress a webhook as GitHub would, signed with the App's first secret; exit 0 if it was taken in."""  # noqa: INP001 - a script that a pod is given, no package

import hmac
import http.client
import json
import os
import sys
import uuid
from typing import Final

TIMEOUT_S: Final = 30.0


def signed(body: bytes, secret: str, app_id: str) -> dict[str, str]:
    """Return the headers of an App's webhook with this body; each has a GUID of its own."""
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-GitHub-Hook-Installation-Target-ID": app_id,
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest(),
    }


def answer(address: str, secret: str, app_id: str) -> tuple[int, str]:
    """Return the status and body that ingress answers at `host:port`; the status is 0 where nothing answers."""
    body = json.dumps({"zen": "Is anybody there?", "hook_id": 1}).encode()
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/webhooks/github", body, signed(body, secret, app_id))
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{address} does not answer: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    own_secret = os.environ["ZEKT_GITHUB_WEBHOOK_SECRETS"].split(",")[0].strip()
    status, said = answer(os.environ["INGRESS_ADDRESS"], own_secret, os.environ["ZEKT_GITHUB_APP_ID"])
    sys.stdout.write(f"{status} {said}\n")
    sys.exit(status != http.client.ACCEPTED)
