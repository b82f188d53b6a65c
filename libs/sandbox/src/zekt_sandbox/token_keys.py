"""The keys of an issuer of RS256 tokens: published, rotated, and misused on request."""

import base64
import hashlib
import hmac
import json
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Forgery = Literal["none", "hs256", "foreign_key", "unknown_kid"]
_KEY_BITS = 2048


class SigningKey:
    """One RSA key of the issuer with its key id."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        self.public_pem = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.kid = hashlib.sha256(self.public_pem).hexdigest()[:40].upper()

    def jwk(self) -> dict[str, Any]:
        """The public key as the key set shows it."""
        jwk = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "n": jwk["n"], "e": jwk["e"]}


class KeyRing:
    """Signs tokens with its newest key and publishes those it has not retired."""

    def __init__(self) -> None:
        self._published: list[SigningKey] = []
        self._foreign: SigningKey | None = None

    @property
    def _keys(self) -> list[SigningKey]:
        # Made on first use: most tests never ask for a token, and a key costs a tenth of a second.
        self._published = self._published or [SigningKey()]
        return self._published

    def rotate(self, *, retire_old: bool = False) -> str:
        """Sign with a new key from now on and return its key id."""
        self._published = [SigningKey()] if retire_old else [*self._keys, SigningKey()]
        return self._keys[-1].kid

    def jwks(self) -> dict[str, Any]:
        """The published keys."""
        return {"keys": [key.jwk() for key in self._keys]}

    def public_key(self, kid: str) -> rsa.RSAPublicKey | None:
        """The published key with this id."""
        return next((key.private.public_key() for key in self._keys if key.kid == kid), None)

    def sign(self, claims: dict[str, Any], forgery: Forgery | None = None) -> str:
        """The claims as a JWT; `forgery` makes one that a verifier must refuse."""
        key = self._keys[-1]
        headers = {"kid": key.kid}
        match forgery:
            case None:
                return jwt.encode(claims, key.private, algorithm="RS256", headers=headers)
            case "none":
                return jwt.encode(claims, "", algorithm="none", headers=headers)
            case "hs256":
                return _hs256(claims, key)
            case "foreign_key":
                return jwt.encode(claims, self._foreign_key().private, algorithm="RS256", headers=headers)
            case "unknown_kid":
                foreign = self._foreign_key()
                return jwt.encode(claims, foreign.private, algorithm="RS256", headers={"kid": foreign.kid})

    def _foreign_key(self) -> SigningKey:
        self._foreign = self._foreign or SigningKey()
        return self._foreign


def _hs256(claims: dict[str, Any], key: SigningKey) -> str:
    # PyJWT refuses a PEM as an HMAC secret, which is just what an attacker would use.
    header = {"alg": "HS256", "typ": "JWT", "kid": key.kid}
    signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    return (signed + b"." + _base64url(hmac.new(key.public_pem, signed, hashlib.sha256).digest())).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
