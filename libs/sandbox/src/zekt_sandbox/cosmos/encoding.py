"""JSON as it goes over the wire."""

import json

encode = json.JSONEncoder(separators=(",", ":")).encode
