"""vitc's own version, and the packages that a result depends on besides its inputs."""

import importlib.metadata

VERSION = importlib.metadata.version("vitc")
PACKAGES = (
    "torch",
    "timm",
    "onnx",
    "onnxscript",
    "onnx-ir",
    "onnxruntime",
    "openvino",
    "nncf",
    "coremltools",
    "numpy",
    "pillow",
)
