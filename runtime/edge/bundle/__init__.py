"""The bundle, one `.onnx` file: its bytes, its manifest, its evidence, and the bundles that edge ships."""
