"""Signing in with an identity provider (OpenID Connect, the authorization code with PKCE).

The provider is named by three variables of the environment; what it signs is checked against the keys it publishes, for
this very client, and for the very question that this browser was sent there with.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.errors import ConfigError, SignInRefused

ISSUER, CLIENT, SECRET = "RAG_OIDC_ISSUER", "RAG_OIDC_CLIENT", "RAG_OIDC_SECRET"
CALLBACK = "/login/callback"
_PATIENCE = 10.0
_SECONDS = 600.0
_MOST = 1_000
_ALGORITHMS = ["RS256", "ES256", "PS256", "EdDSA"]


@dataclass(frozen=True, slots=True)
class Recognised:
    """Whom a provider signed in: ``subject`` is what it knows them by, ``name`` what they are called there."""

    subject: str
    name: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """Somebody who was sent to the provider."""

    nonce: str
    verifier: str
    back: str
    at: float


class Provider:
    """One identity provider. Thread-safe. Raises ConfigError where the package for it is not installed."""

    def __init__(self, issuer: str, client: str, secret: str) -> None:
        try:
            from authlib.integrations.httpx_client import OAuth2Client
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"Signing in with a provider needs a package that is not installed: {error.name}.",
                hint="Install it with: pip install 'rag-cited[oidc]'",
            ) from error
        self._client = OAuth2Client
        self._issuer = issuer.rstrip("/")
        self._id = client
        self._secret = secret
        self._lock = threading.Lock()
        self._sent: dict[str, _Sent] = {}

    @classmethod
    def configured(cls, environ: Mapping[str, str] | None = None) -> Provider | None:
        """The provider that the environment names, None where it names none. Raises ConfigError for half of one."""
        told = os.environ if environ is None else environ
        issuer, client, secret = (told.get(name, "").strip() for name in (ISSUER, CLIENT, SECRET))
        if not issuer:
            return None
        if not client or not secret:
            raise ConfigError(f"{ISSUER} is set, and {CLIENT} or {SECRET} is not.", hint="Set all three, or none.")
        if not issuer.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ConfigError(f"{ISSUER} is {issuer}, which is not https.", hint="Give the address that it names.")
        return cls(issuer, client, secret)

    def send(self, back: str) -> tuple[str, str]:
        """Where to send a browser that is to come back to the address ``back``, and the state it comes back with.

        Raises SignInRefused when the provider does not answer.
        """
        metadata = self._fetched(f"{self._issuer}/.well-known/openid-configuration")
        nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        with self._client(
            self._id, self._secret, scope="openid profile email", redirect_uri=back, code_challenge_method="S256"
        ) as client:
            address, state = client.create_authorization_url(
                metadata["authorization_endpoint"], nonce=nonce, code_verifier=verifier
            )
        now = time.monotonic()
        with self._lock:
            self._sent = {key: one for key, one in self._sent.items() if one.at > now - _SECONDS}
            while len(self._sent) >= _MOST:
                del self._sent[next(iter(self._sent))]
            self._sent[state] = _Sent(nonce, verifier, back, now)
        return str(address), str(state)

    def came_back(self, state: str, code: str) -> Recognised:
        """Whom the provider recognised. A state counts once. Raises SignInRefused."""
        from authlib.integrations.base_client.errors import OAuthError
        from httpx import HTTPError

        with self._lock:
            sent = self._sent.pop(state, None)
        if sent is None or time.monotonic() - sent.at > _SECONDS or not code:
            raise SignInRefused("This way in has expired.", hint="Begin again.")
        metadata = self._fetched(f"{self._issuer}/.well-known/openid-configuration")
        try:
            with self._client(self._id, self._secret, redirect_uri=sent.back, timeout=_PATIENCE) as client:
                token = client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=sent.verifier)
        except (HTTPError, OAuthError, ValueError) as error:
            raise SignInRefused("The provider did not confirm who you are.", hint="Begin again.") from error
        claims = self._checked(str(token.get("id_token", "")), metadata, sent.nonce)
        name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
        return Recognised(f"{self._issuer} {claims['sub']}", name)

    def _checked(self, token: str, metadata: Mapping[str, Any], nonce: str) -> Mapping[str, Any]:
        """What an ID token says. Raises SignInRefused unless the provider signed it for this client and question."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        try:
            keys = KeySet.import_key_set(self._fetched(str(metadata["jwks_uri"])))  # type: ignore[arg-type]
            claims = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
            jwt.JWTClaimsRegistry(
                leeway=60,
                iss={"essential": True, "value": metadata["issuer"]},
                aud={"essential": True, "value": self._id},
                exp={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise SignInRefused("What the provider sent is not signed for this page.", hint="Begin again.") from error
        return claims

    def _fetched(self, address: str) -> dict[str, Any]:
        import httpx

        try:
            reply = httpx.get(address, timeout=_PATIENCE, follow_redirects=False)
            reply.raise_for_status()
            found = reply.json()
            found = found if isinstance(found, dict) else {}
        except (httpx.HTTPError, ValueError) as error:
            raise SignInRefused(
                "The provider that signs in does not answer.", hint="Try again, or sign in with a password."
            ) from error
        named = (
            not address.endswith("/openid-configuration") or str(found.get("issuer", "")).rstrip("/") == self._issuer
        )
        if not named:
            raise SignInRefused("The provider is not the one that was named.", hint="Tell the administrator.")
        return found
