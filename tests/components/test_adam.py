"""The fused update is Keras' Adam, but for the last digits."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.train.adam import FusedAdam


def fitted(optimizer, embedding=False):
    keras.utils.set_random_seed(3)
    first = keras.layers.Embedding(20, 8) if embedding else keras.layers.Dense(8, activation="relu")
    model = keras.Sequential([first, keras.layers.Flatten(), keras.layers.Dense(1)])
    x = np.random.default_rng(0).integers(0, 20, (64, 5)).astype(np.int32 if embedding else np.float32)
    model.compile(optimizer, loss="mse", jit_compile=False)
    model.fit(x, x.sum(1, keepdims=True) / 50, epochs=10, batch_size=16, shuffle=False, verbose=0)
    slots = [variable.numpy() for variable in optimizer.variables]
    return model.get_weights() + slots


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta_1": 0.5, "epsilon": 1e-3},
        {"weight_decay": 0.01},
        {"use_ema": True},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.01, 40)},
    ],
    ids=["plain", "betas", "weight decay", "average", "schedule"],
)
@pytest.mark.parametrize("embedding", [False, True], ids=["dense", "sparse"])
def test_it_gives_what_keras_gives(options, embedding):
    options = {"learning_rate": 0.01, **options}
    ours = fitted(FusedAdam(**options), embedding)
    theirs = fitted(keras.optimizers.Adam(**options), embedding)
    untrained = fitted(FusedAdam(**{**options, "learning_rate": 0.0}), embedding)
    assert len(ours) == len(theirs)
    assert any(np.abs(a - b).max() > 0.01 for a, b in zip(ours, untrained, strict=True))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=5e-5)


def test_it_takes_a_single_operation_for_each_variable():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    optimizer = FusedAdam(0.01)
    optimizer.build(model.trainable_variables)
    gradients = [tf.ones_like(variable.value) for variable in model.trainable_variables]

    @tf.function(autograph=False)
    def update():
        optimizer.apply(gradients)

    names = [operation.type for operation in update.get_concrete_function().graph.get_operations()]
    assert names.count("ResourceApplyAdam") == 2
    assert not {"Sqrt", "AssignSubVariableOp"} & set(names)
