"""google.cloud.aiplatform.v1.MetadataService: contexts, executions and artifacts of the store `default`."""

import re
from typing import Any

import access
import checks
from errors import ApiError, Found, already_exists, not_found
from filters import Lookup
from listing import page
from messages import copy, pb, stamp, update
from messages import made as created
from rpc import Service

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")


class MetadataService(Service):
    """The metadata store that experiments are written to. Each region has one, `default`, from the start."""

    def create_metadata_store(self, request: Any) -> Any:
        if request.metadata_store_id in ("", "default"):
            raise already_exists()
        name = f"{access.place_of(request.parent)}/metadataStores/{request.metadata_store_id}"

        def work() -> Any:
            store = pb.MetadataStore(name=name)
            created(store)
            return self.state.table("metadataStores").setdefault(name, store)

        return self.state.start("CreateMetadataStore", name, pb.CreateMetadataStoreOperationMetadata(), work)

    def get_metadata_store(self, request: Any) -> Any:
        return self._store(request.name)

    def list_metadata_stores(self, request: Any) -> Any:
        place = access.place_of(request.parent)
        self._store(f"{place}/metadataStores/default")
        found = [s for name, s in self.state.table("metadataStores").items() if name.startswith(f"{place}/")]
        shown, token = page(request, found)
        return pb.ListMetadataStoresResponse(metadata_stores=shown, next_page_token=token)

    def _store(self, name: str) -> Any:
        name, table = access.canonical(name), self.state.table("metadataStores")
        if name.endswith("/metadataStores/default") and name not in table:
            table[name] = pb.MetadataStore(name=name)
            created(table[name])
        if name not in table:
            raise not_found("MetadataStore", name)
        return table[name]

    # What the three kinds have in common.

    def _create(self, kind: str, parent: str, message: Any, given: str) -> Any:
        self._store(parent)
        found, new = Found(), copy(message)
        fine = not given or _ID.fullmatch(given)
        found.need(fine, f"{type(message).__name__.lower()}_id", f"'{given}' does not match {_ID.pattern}")
        found.need(len(new.display_name) <= 128, "display_name", f"'{new.display_name}' is too long")
        checks.labels(found, new.labels)
        found.done()
        new.name = f"{access.canonical(parent)}/{kind}/{given or self.state.new_id()}"
        if new.name in self.state.table(kind):
            raise already_exists()
        created(new)
        new.etag = self.state.new_id()
        self.state.table(kind)[new.name] = new
        return new

    def _get(self, kind: str, name: str) -> Any:
        message = self.state.table(kind).get(access.canonical(name))
        if message is None:
            raise not_found(kind.removesuffix("s").capitalize(), name)
        return message

    def _list(self, kind: str, request: Any) -> tuple[list[Any], str]:
        start = f"{access.canonical(request.parent)}/{kind}/"
        found = [m for name, m in self.state.table(kind).items() if name.startswith(start)]
        return page(request, found, functions={"in_context": self._in_context})

    def _in_context(self, lookup: Lookup, context: str) -> bool:
        members = self.state.table("members").get(access.canonical(context), set())
        return lookup(["name"]) in members

    def _update(self, kind: str, message: Any, request: Any) -> Any:
        found, name = Found(), access.canonical(message.name)
        if request.allow_missing and name not in self.state.table(kind):
            parent, _, given = name.rpartition(f"/{kind}/")
            return self._create(kind, parent, message, given)
        old = self._get(kind, name)
        if request.update_mask.paths:
            checks.mask(found, request.update_mask.paths, old)
            found.done()
        paths = request.update_mask.paths or [field.name for field, _ in message.ListFields()]
        update(old, message, set(paths) - {"name", "create_time", "etag"})
        stamp(old.update_time)
        return old

    def _delete(self, kind: str, name: str) -> Any:
        message = self._get(kind, name)

        def delete() -> None:
            self.state.table(kind).pop(message.name, None)

        return self.state.start(f"Delete{kind}", message.name, pb.DeleteOperationMetadata(), delete)

    def create_context(self, request: Any) -> Any:
        return self._create("contexts", request.parent, request.context, request.context_id)

    def get_context(self, request: Any) -> Any:
        return self._get("contexts", request.name)

    def list_contexts(self, request: Any) -> Any:
        shown, token = self._list("contexts", request)
        return pb.ListContextsResponse(contexts=shown, next_page_token=token)

    def update_context(self, request: Any) -> Any:
        return self._update("contexts", request.context, request)

    def delete_context(self, request: Any) -> Any:
        return self._delete("contexts", request.name)

    def create_execution(self, request: Any) -> Any:
        return self._create("executions", request.parent, request.execution, request.execution_id)

    def get_execution(self, request: Any) -> Any:
        return self._get("executions", request.name)

    def list_executions(self, request: Any) -> Any:
        shown, token = self._list("executions", request)
        return pb.ListExecutionsResponse(executions=shown, next_page_token=token)

    def update_execution(self, request: Any) -> Any:
        return self._update("executions", request.execution, request)

    def delete_execution(self, request: Any) -> Any:
        return self._delete("executions", request.name)

    def create_artifact(self, request: Any) -> Any:
        return self._create("artifacts", request.parent, request.artifact, request.artifact_id)

    def get_artifact(self, request: Any) -> Any:
        return self._get("artifacts", request.name)

    def list_artifacts(self, request: Any) -> Any:
        shown, token = self._list("artifacts", request)
        return pb.ListArtifactsResponse(artifacts=shown, next_page_token=token)

    def update_artifact(self, request: Any) -> Any:
        return self._update("artifacts", request.artifact, request)

    def delete_artifact(self, request: Any) -> Any:
        return self._delete("artifacts", request.name)

    def add_context_children(self, request: Any) -> Any:
        parent = self._get("contexts", request.context)
        for name in request.child_contexts:
            child = self._get("contexts", name)
            if child is parent:
                raise ApiError("INVALID_ARGUMENT", f"child_contexts: '{name}' is the context itself")
            if parent.name not in child.parent_contexts:
                child.parent_contexts.append(parent.name)
        return pb.AddContextChildrenResponse()

    def remove_context_children(self, request: Any) -> Any:
        parent = self._get("contexts", request.context)
        for name in request.child_contexts:
            child = self._get("contexts", name)
            if parent.name in child.parent_contexts:
                child.parent_contexts.remove(parent.name)
        return pb.RemoveContextChildrenResponse()

    def add_context_artifacts_and_executions(self, request: Any) -> Any:
        context = self._get("contexts", request.context)
        members = self.state.table("members").setdefault(context.name, set())
        members.update(self._get("artifacts", name).name for name in request.artifacts)
        members.update(self._get("executions", name).name for name in request.executions)
        return pb.AddContextArtifactsAndExecutionsResponse()

    def query_context_lineage_subgraph(self, request: Any) -> Any:
        context = self._get("contexts", request.context)
        members = self.state.table("members").get(context.name, set())
        events = self.state.table("events").values()
        return pb.LineageSubgraph(
            artifacts=[m for name, m in self.state.table("artifacts").items() if name in members],
            executions=[m for name, m in self.state.table("executions").items() if name in members],
            events=[event for event in events if event.execution in members],
        )

    def add_execution_events(self, request: Any) -> Any:
        execution = self._get("executions", request.execution)
        for event in request.events:
            new = copy(event)
            new.execution, new.artifact = execution.name, self._get("artifacts", event.artifact).name
            stamp(new.event_time)
            self.state.table("events")[f"{new.execution} {new.artifact}"] = new
        return pb.AddExecutionEventsResponse()

    def query_execution_inputs_and_outputs(self, request: Any) -> Any:
        execution = self._get("executions", request.execution)
        events = [e for e in self.state.table("events").values() if e.execution == execution.name]
        artifacts = [self._get("artifacts", event.artifact) for event in events]
        return pb.LineageSubgraph(artifacts=artifacts, executions=[execution], events=events)
