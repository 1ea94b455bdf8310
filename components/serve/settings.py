"""The settings of a server."""

import os
from dataclasses import dataclass
from typing import Self

from components.common.errors import InputError

# The folder that KServe puts a model into: kserve.github.io/website, "Storage Initializer"
KSERVE_FOLDER = "/mnt/models"


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    Attributes:
        model: The model's folder, or gs://bucket/folder.
        host: The address to listen at.
        port: The port to listen at.
        name: The model's name in the routes of KServe and TensorFlow Serving.
        health: The route that answers 200 once the model has repeated its golden predictions. It answers 503 before,
            and while the server drains.
        predict: The route of predictions.
        request_bytes: The size of the largest request.
        waiting: The number of examples that may wait for the model.
        drain_seconds: The time after SIGTERM in which the server still answers, but says that it isn't healthy, so that
            a load balancer sends its requests elsewhere.
    """

    model: str
    host: str = "0.0.0.0"  # noqa: S104 (a container's)
    port: int = 8080
    name: str = "model"
    health: str = "/healthz"
    predict: str = "/predict"
    request_bytes: int = 16_000_000
    waiting: int = 512
    drain_seconds: int = 5

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings from the environment: Vertex AI's variables, or else MODEL and PORT, and the limits.

        Raises:
            InputError: A variable has a wrong value. All such variables are named.
        """
        problems: list[str] = []

        def number(names: tuple[str, ...], default: int) -> int:
            name = next((name for name in names if os.environ.get(name)), None)
            if name is None:
                return default
            if not os.environ[name].isascii() or not os.environ[name].isdigit():
                problems.append(f"{name}: '{os.environ[name]}', expected a whole number")
                return default
            return int(os.environ[name])

        def route(name: str, default: str) -> str:
            value = os.environ.get(name) or default
            if not value.startswith("/"):
                problems.append(f"{name}: '{value}', expected a path that starts with /")
            return value

        settings = cls(
            model=os.environ.get("AIP_STORAGE_URI") or os.environ.get("MODEL") or KSERVE_FOLDER,
            port=number(("AIP_HTTP_PORT", "PORT"), cls.port),
            name=os.environ.get("MODEL_NAME") or cls.name,
            health=route("AIP_HEALTH_ROUTE", cls.health),
            predict=route("AIP_PREDICT_ROUTE", cls.predict),
            request_bytes=number(("MAX_REQUEST_BYTES",), cls.request_bytes),
            waiting=number(("MAX_WAITING",), cls.waiting),
            drain_seconds=number(("DRAIN_SECONDS",), cls.drain_seconds),
        )
        if problems:
            raise InputError(*problems)
        return settings
