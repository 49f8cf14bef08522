"""The only room that touches ONNX Runtime: sessions, proved providers, CPUs, threads, this machine's profile."""
