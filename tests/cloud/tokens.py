"""A service account's key, and the tokens that are given for it."""

import json
import secrets
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from errors import ApiError
from google.auth import jwt
from google.rpc import error_details_pb2

_SECONDS = 3599
_ACCOUNT = "tester@my-project.iam.gserviceaccount.com"
_REFUSED = "Request had invalid authentication credentials. Expected OAuth 2 access token."


class Tokens:
    """Knows one service account, and which tokens are good."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._issued: dict[str, float] = {}

    def write_account(self, path: Path, token_uri: str) -> None:
        """Write the account's key file, for GOOGLE_APPLICATION_CREDENTIALS."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {"type": "service_account", "private_key_id": "1", "private_key": pem.decode()}
        account |= {"project_id": "my-project", "client_email": _ACCOUNT, "token_uri": token_uri}
        path.touch(mode=0o600)
        path.write_text(json.dumps(account), encoding="utf-8")

    def grant(self, assertion: str) -> dict[str, Any]:
        """Give an access token for a signed assertion; a ValueError says in OAuth's words why it isn't right."""
        if not self._claims(assertion).get("scope"):
            raise ValueError("Invalid OAuth scope or ID token audience provided.")
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self._issued[token] = time.time() + _SECONDS
        return {"access_token": token, "expires_in": _SECONDS, "token_type": "Bearer"}

    def check(self, header: str, service: str = "aiplatform.googleapis.com") -> None:
        """Refuse an `authorization` header without a good token; Google's clients sign some themselves."""
        scheme, _, token = header.partition(" ")
        try:
            good = self._issued.get(token, 0) > time.time() or self._claims(token).keys() & {"scope", "aud"}
        except ValueError:
            good = False
        if scheme.lower() != "bearer" or not good:
            info = error_details_pb2.ErrorInfo(reason="ACCESS_TOKEN_TYPE_UNSUPPORTED", metadata={"service": service})
            raise ApiError("UNAUTHENTICATED", _REFUSED, info)

    def _claims(self, token: str) -> dict[str, Any]:
        """What a token says, whose signature and times are right."""
        claims: dict[str, Any] = jwt.decode(token, certs=self._public)
        if claims.get("iss") != _ACCOUNT:
            raise ValueError("Invalid grant: account not found")
        return claims
