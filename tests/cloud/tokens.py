"""Service accounts' keys, and the tokens that are given for them."""

import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from errors import ApiError
from google.auth import jwt
from google.rpc import error_details_pb2

SECONDS = 3599
ACCOUNT = "tester@my-project.iam.gserviceaccount.com"
_REFUSED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


class Tokens:
    """Knows one service account, and which tokens are good."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.key_id = secrets.token_hex(20)
        self.issued: dict[str, float] = {}

    def write_account(self, path: Path, token_uri: str) -> None:
        """Write the account's key file, for GOOGLE_APPLICATION_CREDENTIALS."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": "my-project",
            "private_key_id": self.key_id,
            "private_key": pem.decode(),
            "client_email": ACCOUNT,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
            "universe_domain": "googleapis.com",
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(account, file)

    def grant(self, assertion: str) -> dict[str, Any]:
        """Give an access token for a signed assertion.

        Raises:
            ValueError: The assertion isn't right; it says why in OAuth's words.
        """
        claims = self._claims(assertion)
        if not claims.get("scope"):
            raise ValueError("Invalid OAuth scope or ID token audience provided.")
        token = f"ya29.{secrets.token_urlsafe(24)}"
        self.issued[token] = time.time() + SECONDS
        return {"access_token": token, "expires_in": SECONDS, "token_type": "Bearer"}

    def check(self, header: str, service: str = "aiplatform.googleapis.com") -> None:
        """Hold an `authorization` header against the tokens that are good.

        Google's clients sign a token themselves instead of asking for one where they can.

        Raises:
            ApiError: UNAUTHENTICATED.
        """
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer" and token:
            if self.issued.get(token, 0) > time.time():
                return
            if token.count(".") == 2 and not token.startswith("ya29."):
                try:
                    claims = self._claims(token)
                except ValueError:
                    claims = {}
                if claims.get("scope") or claims.get("aud"):
                    return
        reason = "ACCESS_TOKEN_TYPE_UNSUPPORTED" if token else "CREDENTIALS_MISSING"
        info = error_details_pb2.ErrorInfo(reason=reason, domain="googleapis.com", metadata={"service": service})
        raise ApiError("UNAUTHENTICATED", _REFUSED, info)

    def _claims(self, token: str) -> dict[str, Any]:
        """What a token says, whose signature and times are right."""
        claims = jwt.decode(token, certs=self.public)
        if claims.get("iss") != ACCOUNT:
            raise ValueError("Invalid grant: account not found")
        return claims
