"""A client of Kubeflow Pipelines that gives up in time, says nothing of its own and writes no file."""

import logging
import os
import re
from typing import Any
from urllib.parse import urlsplit

from components.common.errors import InputError

# A bearer token for a Kubeflow behind an identity-aware proxy or with several users.
TOKEN = "KUBEFLOW_TOKEN"  # noqa: S105 (a variable's name)
_CONNECT_SECONDS, _READ_SECONDS = 10, 60


def check_address(host: str) -> None:
    """Refuse what is no address of a service.

    Raises:
        InputError: It isn't one; a password in it is not shown.
    """
    try:
        url = urlsplit(host)
        right = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        right = False
    if not right or "@" in url.netloc or url.query or url.fragment or re.search(r"\s", host):
        # Not said again where there may be a password in it.
        shown = host.rpartition("@")[2]
        raise InputError(f"--kubeflow {shown}: expected an address such as http://localhost:8080")


def token() -> str | None:
    """The token of the environment; None where there is none."""
    found = os.environ.get(TOKEN, "").strip()
    if found and not re.fullmatch(r"[!-~]+", found):
        raise InputError(f"{TOKEN}: holds characters that no token has")
    return found or None


def connect(host: str, token: str | None, namespace: str | None) -> Any:  # noqa: ANN401 (a kfp_server_api.ApiClient)
    """A client of the service at `host`, as each part of the API takes it.

    kfp.Client stands over the same one, and lets nobody set a time limit.

    Raises:
        InputError: What answers isn't Kubeflow Pipelines, or has several users and no namespace is given.
    """
    import kfp_server_api
    from urllib3.util import Retry, Timeout

    config = kfp_server_api.Configuration(host=host.rstrip("/"))
    if token:
        config.api_key["authorization"], config.api_key_prefix["authorization"] = token, "Bearer"
    # What only asks is asked again; a POST is not, it might be done twice.
    config.retries = Retry(
        total=3, connect=1, read=1, backoff_factor=0.5, status_forcelist=(502, 503, 504), raise_on_status=False,
        respect_retry_after_header=False,
    )  # fmt: skip
    # It warns of each attempt.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    client = kfp_server_api.ApiClient(config)
    pool = client.rest_client.pool_manager
    send = pool.request

    def request(method: str, url: str, **more: Any) -> Any:  # noqa: ANN401 (a response)
        answer = send(method, url, **{**more, "timeout": Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)})
        kind = answer.headers.get("content-type", "nothing")
        if answer.status in range(200, 300) and "json" not in kind:
            # A proxy's login page would be taken for an empty list.
            raise InputError(f"answers with {kind}, not as Kubeflow Pipelines does; {TOKEN} holds the token")
        return answer

    pool.request = request
    if kfp_server_api.HealthzServiceApi(client).healthz_service_get_healthz().multi_user and not namespace:
        raise InputError("has several users: --namespace is missing")
    return client
