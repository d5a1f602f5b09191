"""Local object and face detectors for Retinue, on ONNX Runtime."""
