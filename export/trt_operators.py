"""The ONNX operators that TensorRT's parser knows: facts of onnx-tensorrt's docs/operators.md for TensorRT 10.15.

Left out of its list are the operators with a body (If, Loop, Scan): a typed body is not written here, and no vision
transformer needs one.
"""

import onnx_ir as ir

NEWEST_OPSET = 24
_NAMES = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization "
    "BlackmanWindow Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh "
    "CumSum DeformConv DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike "
    "Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool "
    "Greater GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish "
    "Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less "
    "LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min "
    "Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear RMSNormalization "
    "RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu "
    "Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT ScatterElements ScatterND Selu Shape "
    "Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub "
    "Sum Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor"
)
SUPPORTED = frozenset(_NAMES.split())


def restriction(node: ir.Node) -> str | None:
    """What the parser does not take of an operator that it knows; None where it takes it all."""
    attributes = node.attributes
    if node.op_type == "Resize":
        if (mode := attributes.get_string("mode", "nearest")) not in {"nearest", "linear"}:
            return f"Resize in mode {mode}; TensorRT's parser takes nearest and linear"
        if attributes.get_int("antialias", 0):
            return "Resize with antialiasing, which TensorRT's parser does not take"
    if node.op_type in {"AveragePool", "MaxPool", "LpPool"} and any(
        step != 1 for step in attributes.get_ints("dilations", [])
    ):
        return f"{node.op_type} with dilations, which TensorRT's parser does not take"
    if node.op_type == "ScatterND" and (way := attributes.get_string("reduction", "none")) != "none":
        return f"ScatterND with reduction {way}; TensorRT's parser takes none"
    if node.op_type in {"LayerNormalization", "MaxPool"} and any(output.uses() for output in node.outputs[1:]):
        return f"a second output of {node.op_type}, which TensorRT's parser does not make"
    return None
