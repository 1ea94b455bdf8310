"""Winners on an endpoint of Vertex AI: their share of the requests, and a wrong answer that is rolled back."""

import pytest
from winners import GOLD, PARENT, answers, endpoints, models

from components.common.errors import InputError
from components.register.deploy import split


def test_a_winner_is_deployed_and_asked(mounted, register):
    answers(mounted)
    account = "runner@my-project.iam.gserviceaccount.com"
    said = register(bright=130, deploy=True, service_account=account)
    assert "deployed to projects/123456789012/locations/us-central1/endpoints/" in said
    assert said.endswith("with 100 % of the requests")
    (endpoint,) = endpoints(mounted)
    assert endpoint.display_name == "families-fashion"
    (deployed,) = endpoint.deployed_models
    assert dict(endpoint.traffic_split) == {deployed.id: 100}
    assert deployed.service_account == account
    assert deployed.dedicated_resources.machine_spec.machine_type == "n1-standard-2"
    (asked,) = mounted.requests("Predict")
    assert asked["request"]["instances"] == GOLD.instances


def test_the_next_one_gets_its_share_of_the_requests(mounted, register, in_this_process):
    answers(mounted)
    register(bright=160, deploy=True)
    register(bright=130, deploy=True, traffic=20)
    (endpoint,) = endpoints(mounted)
    assert sorted(endpoint.traffic_split.values()) == [20, 80]
    register(bright=100, deploy=True, traffic=100)
    (endpoint,) = endpoints(mounted)
    assert list(endpoint.traffic_split.values()) == [100], "one without requests costs as much as one with them"
    assert len(endpoint.deployed_models) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"predictions": [[0.3, 0.7], [0.5, 0.5]]},
        {"predictions": [[0.25, 0.75]]},
        {"predictions": ["error", "error"]},
        {"outcome": "FAILED", "message": "no such signature", "code": "INVALID_ARGUMENT"},
    ],
    ids=["others", "fewer", "no numbers", "refused"],
)
def test_a_wrong_answer_is_rolled_back(mounted, register, in_this_process, wrong):
    answers(mounted)
    register(bright=130, deploy=True)
    (before,) = endpoints(mounted)
    mounted.control(predict=wrong)
    with pytest.raises((RuntimeError, InputError)):
        register(bright=100, deploy=True, traffic=50)
    (after,) = endpoints(mounted)
    assert dict(after.traffic_split) == dict(before.traffic_split)
    assert [m.id for m in after.deployed_models] == [m.id for m in before.deployed_models]


def test_a_first_one_that_answers_wrongly_leaves_no_endpoint(mounted, register):
    answers(mounted, [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(RuntimeError, match="answers the golden request wrongly"):
        register(bright=130, deploy=True)
    assert not endpoints(mounted)


def test_a_version_that_is_not_deployed_is_not_current_either(mounted, register, in_this_process):
    answers(mounted)
    register(bright=130, deploy=True)
    answers(mounted, [[1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(RuntimeError):
        register(bright=100, deploy=True)
    (found,) = models(mounted).list_models(parent=PARENT)
    assert found.version_id == "1"
    assert sorted(found.version_aliases) == ["current", "default"]
    versions = models(mounted).list_model_versions(name=found.name.partition("@")[0])
    assert [version.version_id for version in versions] == ["1"], "it was taken back"
    answers(mounted)
    assert "is registered as" in register(bright=100, deploy=True), "the next run tries it again"


def test_a_deployment_that_is_refused_leaves_no_endpoint(mounted, register, in_this_process):
    mounted.control(permissions={"deny": ["aiplatform.endpoints.deploy"]})
    with pytest.raises(InputError, match=r"deploying .*the permission aiplatform\.endpoints\.deploy is missing"):
        register(bright=130, deploy=True)
    assert not endpoints(mounted)
    mounted.control(
        permissions={"deny": []},
        operation={"method": "DeployModel", "code": "RESOURCE_EXHAUSTED", "message": "no room"},
    )
    with pytest.raises(InputError, match="a quota is used up"):
        register(bright=100, deploy=True)
    assert not endpoints(mounted)
    assert not list(models(mounted).list_models(parent=PARENT))


@pytest.mark.parametrize(
    ("before", "share", "after"),
    [
        ({}, 10, {"0": 100}),
        ({"a": 100}, 100, {"a": 0, "0": 100}),
        ({"a": 100}, 10, {"a": 90, "0": 10}),
        ({"a": 50, "b": 50}, 33, {"a": 34, "b": 33, "0": 33}),
        ({"a": 1, "b": 99}, 50, {"a": 1, "b": 49, "0": 50}),
        ({"a": 34, "b": 33, "c": 33}, 1, {"a": 33, "b": 33, "c": 33, "0": 1}),
    ],
)
def test_shares_are_whole_and_sum_to_a_hundred(before, share, after):
    got = split(before, "0", share)
    assert sum(got.values()) == 100
    assert got == after


@pytest.mark.parametrize(
    ("predictions", "agrees"),
    [
        ([[0.25, 0.75], [0.5, 0.5]], True),
        ([{"probabilities": [0.25, 0.75]}, {"probabilities": [0.5, 0.5]}], True),
        ([[0.2501, 0.7499], [0.5, 0.5]], True),
        ([[0.26, 0.74], [0.5, 0.5]], False),
        ([[float("nan"), 0.75], [0.5, 0.5]], False),
        ([[0.25, 0.75, 0.0], [0.5, 0.5]], False),
        ([[0.25, None], [0.5, 0.5]], False),
        ([{"a": [0.25, 0.75], "b": []}, {"a": [0.5, 0.5], "b": []}], False),
        ("nonsense", False),
    ],
)
def test_what_agrees_with_a_golden_answer(predictions, agrees):
    assert GOLD.agrees(predictions, 1e-3) is agrees
