"""Send ingress a webhook as GitHub would, signed with the App's first secret; exit 0 if it was taken in."""

import hmac
import json
import os
import sys
import urllib.error
import urllib.request
import uuid

TIMEOUT_S = 30.0


def ping(url: str, secret: str, app_id: str) -> urllib.request.Request:
    """Return the signed request; each has a GUID of its own."""
    body = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1}).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "ping",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-GitHub-Hook-Installation-Target-ID": app_id,
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest(),
    }
    return urllib.request.Request(f"{url}/webhooks/github", data=body, headers=headers, method="POST")


def answer(request: urllib.request.Request) -> str:
    """Return what ingress says, which starts with the status."""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return f"{response.status} {response.read().decode()}"
    except urllib.error.HTTPError as refused:
        return f"{refused.code} {refused.read().decode(errors='replace')}"
    except OSError as error:
        return f"no answer from {request.full_url}: {error}"


if __name__ == "__main__":
    secret = os.environ["ZEKT_GITHUB_WEBHOOK_SECRETS"].split(",")[0].strip()
    said = answer(ping(os.environ["INGRESS_URL"], secret, os.environ["ZEKT_GITHUB_APP_ID"]))
    print(said)
    sys.exit(not said.startswith("202 "))
