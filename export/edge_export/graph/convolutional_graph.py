"""Convolutional classifiers as ONNX, straight from the weights, every BatchNorm folded where that is exact.

A BatchNorm scales and shifts each channel. It is folded

1. into the convolution before it, when nothing lies between;
2. into the convolution after it, when only dropout lies between, or a max pooling that the scale commutes with (all
   scales positive). The convolutions have no padding, so the shift is a change of bias.

Elsewhere (a ReLU follows) it stays a node.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_export.graph.builder import IMAGE, LOGITS, PIXEL_SCALE, GraphBuilder
from edge_train.models.networks import ConvolutionalClassifier

Array = NDArray[np.float64]


def write(model: ConvolutionalClassifier, *, fold_forward: bool = True) -> GraphBuilder:
    """The graph of a convolutional classifier up to its logits.

    Args:
        model: in evaluation mode.
        fold_forward: rule 2 above; exact in fp32, but it widens the spread of a convolution's weights, which int8
            pays for.
    """
    builder = GraphBuilder()
    pixels = builder.node("Cast", [IMAGE], "pixels", to=1)
    axis = builder.weight("channel_axis", np.array([1], np.int64))
    tensor = builder.node("Unsqueeze", [pixels, axis], "picture")  # [batch, 1, 28, 28]
    layers = [(f"chain.{index}", layer) for index, layer in enumerate(model.chain) if not isinstance(layer, nn.Dropout)]
    scale, shift = np.array([PIXEL_SCALE]), np.zeros(1)  # of the channels that enter the next convolution
    pending = True  # whether scale and shift are still to be folded into a convolution
    position = 0
    while position < len(layers):
        path, layer = layers[position]
        output = LOGITS if position == len(layers) - 1 else f"{path}.output"
        if isinstance(layer, nn.Conv2d):
            weight, bias = _affine(layer)
            bias = bias + np.einsum("oikl,i->o", weight, shift)
            weight = weight * scale.reshape(1, -1, 1, 1)
            scale, shift, pending = np.ones(layer.out_channels), np.zeros(layer.out_channels), False
            if position + 1 < len(layers) and isinstance(norm := layers[position + 1][1], nn.BatchNorm2d):
                gain, offset = _normalisation(norm)
                weight, bias = weight * gain.reshape(-1, 1, 1, 1), bias * gain + offset
                position += 1
                path = layers[position][0]
                output = LOGITS if position == len(layers) - 1 else f"{path}.output"
            weights = [builder.weight(f"{path}.weight", weight), builder.weight(f"{path}.bias", bias)]
            tensor = builder.node("Conv", [tensor, *weights], output, kernel_shape=list(layer.kernel_size))
        elif isinstance(layer, nn.BatchNorm2d):
            gain, offset = _normalisation(layer)
            if fold_forward and _reaches_convolution(layers[position + 1 :], gain):
                scale, shift, pending = gain * scale, gain * shift + offset, True
            else:
                if pending:
                    factor = builder.weight(f"{path}.pixel_scale", np.array(PIXEL_SCALE))
                    tensor, pending = builder.node("Mul", [tensor, factor], f"{path}.scaled"), False
                    scale = np.ones(1)
                tensor = _normalise(builder, tensor, path, layer, output)
        elif isinstance(layer, nn.Linear):
            weight, bias = _affine(layer)
            if pending:  # the first weights of a chain without convolutions
                weight, pending = weight * PIXEL_SCALE, False
            weights = [builder.weight(f"{path}.weight", weight), builder.weight(f"{path}.bias", bias)]
            tensor = builder.node("Gemm", [tensor, *weights], output, transB=1)
        else:
            tensor = _plain(builder, tensor, layer, output)
        if not pending:
            builder.tap(path, tensor)
        position += 1
    return builder


def _plain(builder: GraphBuilder, tensor: str, layer: nn.Module, output: str) -> str:
    if isinstance(layer, nn.ReLU):
        return builder.node("Relu", [tensor], output)
    if isinstance(layer, nn.MaxPool2d):
        return builder.node("MaxPool", [tensor], output, kernel_shape=[2, 2], strides=[2, 2])
    if isinstance(layer, nn.AvgPool2d):
        return builder.node("AveragePool", [tensor], output, kernel_shape=[2, 2], strides=[2, 2])
    assert isinstance(layer, nn.Flatten), layer
    return builder.node("Flatten", [tensor], output, axis=1)


def _normalise(builder: GraphBuilder, tensor: str, path: str, layer: nn.BatchNorm2d, output: str) -> str:
    statistics = {"scale": layer.weight, "shift": layer.bias, "mean": layer.running_mean, "variance": layer.running_var}
    names = [
        builder.weight(f"{path}.{name}", torch.as_tensor(values).detach().numpy())
        for name, values in statistics.items()
    ]
    return builder.node("BatchNormalization", [tensor, *names], output, epsilon=layer.eps)


def _reaches_convolution(following: list[tuple[str, nn.Module]], gain: Array) -> bool:
    for _, layer in following:
        if isinstance(layer, nn.Conv2d):
            return True
        if not (isinstance(layer, nn.MaxPool2d) and (gain > 0).all()):
            return False
    return False


def _affine(layer: nn.Conv2d | nn.Linear) -> tuple[Array, Array]:
    assert layer.bias is not None
    return layer.weight.detach().numpy().astype(np.float64), layer.bias.detach().numpy().astype(np.float64)


def _normalisation(layer: nn.BatchNorm2d) -> tuple[Array, Array]:
    """Gain and offset of a BatchNorm in evaluation: gain * x + offset."""
    mean, variance, weight, bias = (
        torch.as_tensor(values).detach().numpy().astype(np.float64)
        for values in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    gain = weight / np.sqrt(variance + layer.eps)
    return gain, bias - mean * gain
