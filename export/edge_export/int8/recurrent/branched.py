"""One graph that is fast at both ends: the fused operators for a few pictures, row by row for many.

    batch_size < FEW ? fused : stepped

Both branches take the same int8 weights, which are stored once; what each needs of them is laid out when the session
loads.
"""

import numpy as np
from onnx import TensorProto, helper

from edge_export.graph.builder import GraphBuilder
from edge_export.int8.recurrent import fused, stepped
from edge_export.int8.recurrent.rounded import Rounded

# From this batch size on the steps win, measured on AVX2 and AVX-512 VNNI; in between the two are close.
FEW = {"LSTM": 16, "GRU": 12, "RNN": 4}


def write(builder: GraphBuilder, layers: tuple[Rounded, ...], features: str, *, unsigned: bool) -> None:
    """Writes the layers from the picture to the features.

    Args:
        builder: takes everything.
        layers: the layers.
        features: the name of the result, float32 [batch, directions * hidden].
        unsigned: as `stepped.write` takes it.
    """
    stepped.write_batch_size(builder)
    few, many = GraphBuilder(), GraphBuilder()
    fused.write(builder, few, layers, f"{features}_of_few", dynamic=True)
    stepped.write(builder, many, layers, f"{features}_of_many", unsigned=unsigned)
    limit = builder.weight("few", np.array([FEW[layers[0].layer.cell]], np.int64))
    builder.node("Less", [stepped.BATCH_SIZE, limit], "is_few")
    width = layers[-1].layer.hidden * layers[-1].layer.directions
    branches = {
        "then_branch": (few, f"{features}_of_few"),
        "else_branch": (many, f"{features}_of_many"),
    }
    graphs = {
        branch: helper.make_graph(
            part.nodes, branch, [], [helper.make_tensor_value_info(result, TensorProto.FLOAT, ["batch", width])]
        )
        for branch, (part, result) in branches.items()
    }
    builder.node("If", ["is_few"], features, **graphs)
