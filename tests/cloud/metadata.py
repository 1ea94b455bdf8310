"""google.cloud.aiplatform.v1.MetadataService: the contexts of the store `default`, which experiments are."""

import re
from typing import Any

import access
import checks
from errors import ApiError, Found
from messages import made, pb
from rpc import Service, getting

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


class MetadataService(Service):
    """The metadata store of a region. Runs make contexts in it, see pipeline_run.py."""

    get_context = getting("contexts")

    def create_context(self, request: Any) -> Any:
        found, store = Found(), access.canonical(request.parent)
        found.need(store.endswith("/metadataStores/default"), "parent", f"there is no metadata store '{store}'")
        found.need(_ID.fullmatch(request.context_id), "context_id", f"'{request.context_id}' is not {_ID.pattern}")
        checks.common(found, request.context, "context", named=False)
        found.done()
        name = f"{store}/contexts/{request.context_id}"
        if name in self.state.table("contexts"):
            raise ApiError("ALREADY_EXISTS", "Requested entity already exists")
        return self.state.table("contexts").setdefault(name, made(request.context, name))

    def add_context_children(self, request: Any) -> Any:
        for name in (request.context, *request.child_contexts):
            access.find(self.state, "contexts", name)
        return pb.AddContextChildrenResponse()
