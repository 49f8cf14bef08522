"""From PyTorch modules to fp32 ONNX graphs."""
