"""A model's layers as a graph."""

from markupsafe import Markup

from components.artifacts.model import Layer, ModelInfo
from components.report.drawing import Node, draw

# Operations that slice a tensor. The drawing shows an edge in their place.
HIDDEN = ("GetItem",)


def architecture(model: ModelInfo) -> Markup:
    """Draw the layers of a model, without operations that only slice."""
    by_name = {layer.name: layer for layer in model.layers}

    def shown(name: str) -> list[str]:
        layer = by_name[name]
        return [name] if layer.kind not in HIDDEN else [s for source in layer.inputs for s in shown(source)]

    nodes = [
        Node(
            title=layer.name,
            detail=shape(layer) + (f", {layer.parameters:,} weights" if layer.parameters else ""),
            note=f"{layer.name}: {layer.kind}, output {shape(layer)}, {layer.parameters:,} weights",
            style="input" if not layer.inputs else "weights" if layer.parameters else "plain",
            needs=list(dict.fromkeys(s for source in layer.inputs for s in shown(source))),
        )
        for layer in model.layers
        if layer.kind not in HIDDEN
    ]
    kinds = ", ".join(dict.fromkeys(layer.kind for layer in model.layers if layer.kind not in HIDDEN))
    return draw(nodes, f"Layers of {model.name} from its inputs to its output: {kinds}")


def shape(layer: Layer) -> str:
    """The shape of a layer's output for one example, such as 28 × 28 × 32."""
    return " × ".join("?" if size is None else str(size) for size in layer.shape) or "1"
