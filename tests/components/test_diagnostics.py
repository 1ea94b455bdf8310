"""What evaluate and train write for whoever wants to understand a model."""

import numpy as np
import pytest

from components.evaluate import diagnostics
from components.metrics.metrics import measure


def test_calibration_of_known_confidences():
    probabilities = np.array([[0.95, 0.05]] * 10 + [[0.35, 0.65]] * 10)
    labels = np.array([0] * 8 + [1] * 2 + [1] * 7 + [0] * 3)
    found = diagnostics.calibration(labels, probabilities)
    assert [(b.confidence, b.accuracy, b.examples) for b in found] == [
        pytest.approx((0.65, 0.7, 10)),
        pytest.approx((0.95, 0.8, 10)),
    ]
    ece = measure("classification", labels, probabilities)["ece"]
    assert ece == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)


def test_a_sure_and_right_model_has_no_calibration_error():
    labels, probabilities = np.array([0, 1]), np.eye(2)
    assert len(diagnostics.calibration(labels, probabilities)) == 1
    assert measure("classification", labels, probabilities)["ece"] == 0


def test_mistakes_are_the_most_confident_ones():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=100)
    labels = rng.integers(0, 3, size=100)
    found = diagnostics.mistakes(labels, probabilities)
    wrong = [i for i in range(100) if probabilities[i].argmax() != labels[i]]
    assert [m.example for m in found] == sorted(wrong, key=lambda i: -probabilities[i].max())[:12]
    for mistake in found:
        assert mistake.label == labels[mistake.example]
        assert mistake.predicted == probabilities[mistake.example].argmax()
        assert mistake.probability == pytest.approx(probabilities[mistake.example].max())
    assert diagnostics.mistakes(np.array([0]), np.array([[1.0, 0.0]])) == []


def test_windows_are_a_good_a_median_and_the_worst_one():
    error = np.arange(21)[::-1, None] * np.array([[1.0, -1.0]])
    found = {
        window.name: (window.example, window.mae) for window in diagnostics.windows(error, np.full(len(error), "a"))
    }
    assert found == {"good": (18, 2.0), "median": (10, 10.0), "worst": (0, 20.0)}
    few = {n: diagnostics.windows(np.arange(3.0 * n).reshape(n, 3), np.full(n, "")) for n in (1, 2, 3, 6)}
    few = {n: [window.name for window in shown] for n, shown in few.items()}
    assert few == {1: ["only"], 2: ["best", "worst"], 3: ["best", "median", "worst"], 6: ["best", "median", "worst"]}


def test_errors_are_of_the_hours_of_the_rows_that_were_forecast():
    half_hours = 1800 * np.arange(100)
    times = 86400 * 365 + half_hours
    windows, lookback, horizon = 90, 6, 4
    rows = lookback + np.arange(windows)[:, None] + np.arange(horizon)
    error = np.where(half_hours[rows] // 3600 % 24 == 5, -3.0, 1.0)
    found = diagnostics.per_hour(error, times, lookback + np.arange(windows))
    assert list(found) == [f"{hour:02}" for hour in range(24)]
    assert found.pop("05") == 3
    assert set(found.values()) == {1}


def test_latencies_are_of_whole_batches_and_in_order():
    import keras

    from components.evaluate.latency import BATCHES, latencies

    inputs = {"window": keras.Input((4, 2), name="window"), "future": keras.Input((3, 1), name="future")}
    flat = [keras.layers.Flatten()(value) for value in inputs.values()]
    model = keras.Model(list(inputs.values()), keras.layers.Dense(3)(keras.layers.Concatenate()(flat)))
    examples = {"window": np.ones((5, 4, 2), np.float32), "future": np.ones((5, 3, 1), np.float32)}
    found = latencies(model, examples)
    assert [row.batch for row in found] == list(BATCHES)
    for row in found:
        assert 0 < row.median_ms <= row.p95_ms
        assert row.examples_per_second == pytest.approx(1000 * row.batch / row.median_ms)


def test_the_layers_of_a_model_are_told():
    import keras

    from components.artifacts.model import layers_of

    x = keras.Input((8, 2), name="window")
    model = keras.Model(x, keras.layers.Dense(3, name="head")(keras.layers.Flatten(name="flat")(x[:, 2:])))
    found = layers_of(model)
    assert [(la.kind, la.shape, la.parameters) for la in found] == [
        ("InputLayer", [8, 2], 0),
        ("GetItem", [6, 2], 0),
        ("Flatten", [12], 0),
        ("Dense", [3], 39),
    ]
    assert [la.inputs for la in found] == [[], [found[0].name], [found[1].name], ["flat"]]
    inside = keras.Sequential([keras.layers.Dense(4, name="a"), keras.layers.Dense(5, name="b")], name="inside")
    nested = layers_of(keras.Model(x, keras.layers.Dense(1, name="end")(inside(keras.layers.Flatten(name="flat")(x)))))
    assert [(la.name, la.inputs) for la in nested[1:]] == [
        ("flat", ["window"]),
        ("inside/a", ["flat"]),
        ("inside/b", ["inside/a"]),
        ("end", ["inside/b"]),
    ]
    plain = layers_of(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dense(1)]))
    assert [(la.kind, la.parameters) for la in plain] == [("Dense", 10), ("Dense", 3)]
    assert [la.inputs for la in plain] == [[], [plain[0].name]]


def test_a_drawn_graph_has_every_edge_and_no_node_on_another():
    import re

    from components.report.drawing import HEIGHT, WIDTH, Node, draw

    needs = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": ["a", "d"], "f": [], "g": ["f", "e"], "h": ["f"]}
    nodes = [Node(name, "", f"<{name}>", "plain", before) for name, before in needs.items()]
    for across in (False, True):
        svg = draw(nodes, "a & b", across)
        places = [tuple(map(float, xy)) for xy in re.findall(r"translate\(([-\d.]+) ([-\d.]+)\)", svg)]
        assert len(places) == len(needs)
        for i, (x, y) in enumerate(places):
            assert min(x, y) >= 0
            assert all(abs(x - a) >= WIDTH or abs(y - b) >= HEIGHT for a, b in places[:i])
        at = dict(zip(needs, places, strict=True))
        assert all(at[n][not across] > at[b][not across] for n, before in needs.items() for b in before), "against it"
        assert svg.count('class="edge"') == sum(map(len, needs.values()))
        assert "&lt;a&gt;" in svg
        assert 'aria-label="a &amp; b"' in svg
