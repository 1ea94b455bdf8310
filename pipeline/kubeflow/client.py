"""A client of Kubeflow Pipelines with time limits, which prints nothing and writes no file."""

import logging
import os
import re
from urllib.parse import urlsplit

import kfp_server_api
from urllib3 import BaseHTTPResponse
from urllib3.util import Retry, Timeout

from components.common.errors import InputError

# A bearer token for a Kubeflow behind an identity-aware proxy or with several users.
TOKEN = "KUBEFLOW_TOKEN"  # noqa: S105 (a variable's name)
_CONNECT_SECONDS, _READ_SECONDS = 10, 60


def check_address(host: str) -> None:
    """Check the address of a service.

    Raises:
        InputError: It is malformed. The message doesn't show a password in it.
    """
    try:
        url = urlsplit(host)
        valid = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in url.netloc or url.query or url.fragment or re.search(r"\s", host):
        without_password = host.rpartition("@")[2]
        raise InputError(f"--kubeflow {without_password}: expected an address such as http://localhost:8080")


def token() -> str | None:
    """The token from the environment; None where there is none.

    Raises:
        InputError: It has characters that no token has.
    """
    value = os.environ.get(TOKEN, "").strip()
    if value and not re.fullmatch(r"[!-~]+", value):
        raise InputError(f"{TOKEN}: holds characters that no token has")
    return value or None


def connect(host: str, token: str | None, namespace: str | None) -> kfp_server_api.ApiClient:
    """Create a client of the service at `host`. kfp.Client isn't used, for it has no time limit.

    Raises:
        InputError: The service isn't Kubeflow Pipelines, or it has several users and there is no namespace.
    """
    config = kfp_server_api.Configuration(host=host.rstrip("/"))
    if token:
        config.api_key["authorization"], config.api_key_prefix["authorization"] = token, "Bearer"
    # Only requests that change nothing are tried again, which urllib3 tells by their method.
    config.retries = Retry(
        total=3, connect=1, read=1, backoff_factor=0.5, status_forcelist=(502, 503, 504), raise_on_status=False,
        respect_retry_after_header=False,
    )  # fmt: skip
    # urllib3 would print a warning for each attempt.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    client = kfp_server_api.ApiClient(config)
    pool = client.rest_client.pool_manager
    send = pool.request

    def request(method: str, url: str, **options: object) -> BaseHTTPResponse:
        timeout = Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
        response: BaseHTTPResponse = send(method, url, **{**options, "timeout": timeout})
        content_type = response.headers.get("content-type", "nothing")
        if response.status in range(200, 300) and "json" not in content_type:
            # kfp_server_api would take a proxy's login page for an empty list.
            raise InputError(f"answers with {content_type}, not as Kubeflow Pipelines does; {TOKEN} holds the token")
        return response

    pool.request = request
    if kfp_server_api.HealthzServiceApi(client).healthz_service_get_healthz().multi_user and not namespace:
        raise InputError("has several users: --namespace is missing")
    return client
