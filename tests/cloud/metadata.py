"""google.cloud.aiplatform.v1.MetadataService: the contexts of the store `default`, which experiments are."""

import re
from typing import Any

import access
import checks
from errors import Found, already_exists
from messages import copy, made, pb
from rpc import Service

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


class MetadataService(Service):
    """The metadata store of a region. Runs make contexts in it, see pipeline_run.py."""

    def create_context(self, request: Any) -> Any:
        found, new, store = Found(), copy(request.context), access.canonical(request.parent)
        found.need(store.endswith("/metadataStores/default"), "parent", f"there is no metadata store '{store}'")
        found.need(_ID.fullmatch(request.context_id), "context_id", f"'{request.context_id}' is not {_ID.pattern}")
        found.need(len(new.display_name) <= 128, "display_name", f"'{new.display_name}' is too long")
        checks.labels(found, new.labels)
        found.done()
        new.name = f"{store}/contexts/{request.context_id}"
        if new.name in self.state.table("contexts"):
            raise already_exists()
        made(new)
        self.state.table("contexts")[new.name] = new
        return new

    def get_context(self, request: Any) -> Any:
        return access.find(self.state, "contexts", request.name)

    def add_context_children(self, request: Any) -> Any:
        parent = self.get_context(pb.GetContextRequest(name=request.context))
        for name in request.child_contexts:
            child = self.get_context(pb.GetContextRequest(name=name))
            if parent.name not in child.parent_contexts:
                child.parent_contexts.append(parent.name)
        return pb.AddContextChildrenResponse()
