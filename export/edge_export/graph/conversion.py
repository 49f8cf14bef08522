"""From a checkpoint of one of edge's own models to an fp32 ONNX graph."""

from edge_export.graph import convolutional_graph, form, recurrent_graph
from edge_export.graph.builder import Converted, finish
from edge_train.models.networks import ConvolutionalClassifier
from edge_train.models.specification import Recurrent
from edge_train.training.checkpoint import Checkpoint


def convert(checkpoint: Checkpoint, *, fold_forward: bool = True) -> Converted:
    """The graph of a checkpoint of one of edge's own models.

    It is written straight from the weights: `torch.onnx.export` builds the zero initial state from the batch size at
    run time and unrolls a plain RNN, and what is left after cleaning that up is longer to explain than the graph.

    Raises:
        ConversionError: the graph is not what a bundle needs.
        CheckpointError: the weights do not fit the specification.
    """
    model = checkpoint.model()
    sizes = checkpoint.specification
    if isinstance(sizes, Recurrent):
        builder = recurrent_graph.write(sizes, checkpoint.weights)
    else:
        assert isinstance(model, ConvolutionalClassifier)
        builder = convolutional_graph.write(model, fold_forward=fold_forward)
    converted = finish(builder, classes=len(checkpoint.labels), temperature=checkpoint.temperature)
    form.check_form(converted.model, classes=len(checkpoint.labels))
    return converted
