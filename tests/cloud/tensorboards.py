"""google.cloud.aiplatform.v1.TensorboardService: the resources; what is written to them is not kept."""

from typing import Any

import access
import checks
from errors import Found, already_exists, not_found
from listing import page
from messages import copy, pb, stamp, update
from messages import made as created
from rpc import Service


class TensorboardService(Service):
    """TensorBoards, their experiments and runs."""

    def create_tensorboard(self, request: Any) -> Any:
        new, found = copy(request.tensorboard), Found()
        checks.display_name(found, new.display_name, "tensorboard.display_name")
        checks.labels(found, new.labels, "tensorboard.labels")
        found.done()
        new.name = f"{access.place_of(request.parent)}/tensorboards/{self.state.new_id()}"

        def work() -> Any:
            created(new)
            return self.state.table("tensorboards").setdefault(new.name, new)

        return self.state.start("CreateTensorboard", new.name, pb.CreateTensorboardOperationMetadata(), work)

    def get_tensorboard(self, request: Any) -> Any:
        return self._get("tensorboards", request.name)

    def list_tensorboards(self, request: Any) -> Any:
        shown, token = self._list("tensorboards", request)
        return pb.ListTensorboardsResponse(tensorboards=shown, next_page_token=token)

    def update_tensorboard(self, request: Any) -> Any:
        tensorboard = self._get("tensorboards", request.tensorboard.name)
        found = Found()
        checks.mask(found, request.update_mask.paths, tensorboard)
        found.done()

        def work() -> Any:
            update(tensorboard, request.tensorboard, set(request.update_mask.paths) - {"name"})
            stamp(tensorboard.update_time)
            return tensorboard

        metadata = pb.UpdateTensorboardOperationMetadata()
        return self.state.start("UpdateTensorboard", tensorboard.name, metadata, work)

    def delete_tensorboard(self, request: Any) -> Any:
        return self._delete("tensorboards", request.name)

    def create_tensorboard_experiment(self, request: Any) -> Any:
        given = request.tensorboard_experiment_id
        return self._create("experiments", request.parent, request.tensorboard_experiment, given)

    def get_tensorboard_experiment(self, request: Any) -> Any:
        return self._get("experiments", request.name)

    def list_tensorboard_experiments(self, request: Any) -> Any:
        shown, token = self._list("experiments", request)
        return pb.ListTensorboardExperimentsResponse(tensorboard_experiments=shown, next_page_token=token)

    def delete_tensorboard_experiment(self, request: Any) -> Any:
        return self._delete("experiments", request.name)

    def create_tensorboard_run(self, request: Any) -> Any:
        return self._create("runs", request.parent, request.tensorboard_run, request.tensorboard_run_id)

    def get_tensorboard_run(self, request: Any) -> Any:
        return self._get("runs", request.name)

    def list_tensorboard_runs(self, request: Any) -> Any:
        shown, token = self._list("runs", request)
        return pb.ListTensorboardRunsResponse(tensorboard_runs=shown, next_page_token=token)

    def _create(self, kind: str, parent: str, message: Any, given: str) -> Any:
        self._get("tensorboards" if kind == "experiments" else "experiments", parent)
        new, found = copy(message), Found()
        checks.labels(found, new.labels)
        found.need(given, f"tensorboard_{kind.removesuffix('s')}_id", "is missing")
        found.done()
        new.name = f"{access.canonical(parent)}/{kind}/{given}"
        if new.name in self.state.table(kind):
            raise already_exists()
        created(new)
        self.state.table(kind)[new.name] = new
        return new

    def _get(self, kind: str, name: str) -> Any:
        message = self.state.table(kind).get(access.canonical(name))
        if message is None:
            raise not_found({"tensorboards": "Tensorboard"}.get(kind, f"Tensorboard{kind[:-1].capitalize()}"), name)
        return message

    def _list(self, kind: str, request: Any) -> tuple[list[Any], str]:
        start = f"{access.canonical(request.parent)}/{kind}/"
        return page(request, [m for name, m in self.state.table(kind).items() if name.startswith(start)])

    def _delete(self, kind: str, name: str) -> Any:
        message = self._get(kind, name)

        def delete() -> None:
            self.state.table(kind).pop(message.name, None)

        return self.state.start("DeleteTensorboard", message.name, pb.DeleteOperationMetadata(), delete)
