"""Using a trained model: scoring files, exporting to ONNX."""
