"""The GitHub stand-in: REST API, Actions OIDC issuer, webhooks and their controls, on one loopback port."""
