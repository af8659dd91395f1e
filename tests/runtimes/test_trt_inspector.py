import json
from typing import Any

import pytest

from vitc.errors import VerificationFailed
from vitc.runtimes.audit import audit
from vitc.runtimes.trt_inspector import kernels

PRODUCTS = {
    "node_MatMul_1": {
        "operator": "MatMul",
        "layer": "blocks.0.attn.qkv",
        "promised": "int8",
        "inputs": [[1, 65, 128], [128, 384]],
        "output": [1, 65, 384],
    },
    "node_MatMul_2": {
        "operator": "MatMul",
        "layer": None,
        "promised": "fp16",
        "inputs": [[1, 4, 65, 32], [1, 4, 32, 65]],
        "output": [1, 4, 65, 65],
    },
    "node_conv2d": {
        "operator": "Conv",
        "layer": "stem",
        "promised": "int8",
        "inputs": [[1, 3, 64, 64], [128, 3, 8, 8]],
        "output": [1, 128, 8, 8],
    },
}
TOLD: dict[str, Any] = {
    "Layers": [
        {
            "Name": "__myl_CastQuan_myl0_0",
            "LayerType": "kgen",
            "Inputs": [{"Name": "image", "Dimensions": [1, 3, 64, 64], "Format/Datatype": "Float"}],
            "Outputs": [{"Name": "codes", "Dimensions": [1, 3, 64, 64], "Format/Datatype": "Int8"}],
            "TacticName": "__myl_CastQuan_0xf2",
            "Metadata": "[ONNX Layer: node_QuantizeLinear_0]\x1f[ONNX Layer: node_conv2d]",
        },
        {
            "Name": "stem.weight + node_DequantizeLinear_3 + node_conv2d",
            "LayerType": "CaskConvolution",
            "Inputs": [
                {
                    "Name": "codes",
                    "Dimensions": [1, 3, 64, 64],
                    "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
                }
            ],
            "Outputs": [
                {"Name": "stem", "Dimensions": [1, 128, 8, 8], "Format/Datatype": "Row major linear FP16 format"}
            ],
            "Weights": {"Type": "Int8", "Count": 24576},
            "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32",
        },
        {
            "Name": "node_MatMul_1_myl0_4",
            "LayerType": "gemm",
            "Inputs": [{"Name": "normal", "Dimensions": [1, 65, 128], "Format/Datatype": "Int8"}],
            "Outputs": [{"Name": "qkv", "Dimensions": [1, 65, 384], "Format/Datatype": "Half"}],
            "TacticName": "sm80_xmma_gemm_i8f16_i8i32_f32_tn_n",
            "Metadata": "[ONNX Layer: node_MatMul_1]\x1f[ONNX Layer: node_linear_1]",
        },
        {
            "Name": "_gemm_mha_v2_myl0_5",
            "LayerType": "kgen",
            "Inputs": [{"Name": "qkv", "Dimensions": [1, 4, 65, 32], "Format/Datatype": "Half"}],
            "Outputs": [{"Name": "mixed", "Dimensions": [1, 4, 65, 32], "Format/Datatype": "Half"}],
            "TacticName": "_gemm_mha_v2_0x1b",
            "Metadata": "[ONNX Layer: node_MatMul_2]\x1f[ONNX Layer: node_Softmax_3]",
        },
    ],
    "Bindings": ["image", "logits"],
}
"""What an inspector tells, made by hand after its documentation and the outputs that NVIDIA publishes with TREx."""
PROMISED = {"node_MatMul_1": "blocks.0.attn.qkv", "node_conv2d": "stem"}


def test_a_product_runs_in_what_its_working_layer_says() -> None:
    """Layers that quantize or move the input of a product name it as well."""
    found = {kernel.name: kernel for kernel in kernels(TOLD, PRODUCTS)}
    assert {name: kernel.inputs[0][0] for name, kernel in found.items()} == {
        "node_MatMul_1": "int8",
        "node_MatMul_2": "fp16",
        "node_conv2d": "int8",
    }
    assert found["node_MatMul_1"].inputs[1][1] == (128, 384)
    assert found["node_conv2d"].outputs[0][1] == (1, 128, 8, 8)


def test_the_audit_weighs_what_ran() -> None:
    result = audit(kernels(TOLD, PRODUCTS), PROMISED)
    linear, attention, convolution = 65 * 128 * 384, 4 * 65 * 32 * 65, 128 * 64 * 3 * 64
    whole = linear + attention + convolution
    assert result.int8_macs_pct == round(100 * (linear + convolution) / whole, 2)
    assert result.macs_pct["fp16"] == round(100 * attention / whole, 2)
    assert (result.promised_pct, result.fallbacks) == (100.0, ())


def test_a_layer_that_fell_back_is_found() -> None:
    told = json.loads(json.dumps(TOLD))
    told["Layers"][2]["Inputs"][0]["Format/Datatype"] = "Half"
    told["Layers"][2]["TacticName"] = "sm80_xmma_gemm_f16f16_f16f32_f32_tn_n"
    result = audit(kernels(told, PRODUCTS), PROMISED)
    assert result.fallbacks == (("blocks.0.attn.qkv", "runs as MatMul on fp16"),)
    assert result.promised_pct < 100


def test_a_product_that_no_layer_names_is_a_fallback() -> None:
    told = {"Layers": TOLD["Layers"][:2]}
    result = audit(kernels(told, PRODUCTS), PROMISED)
    assert result.fallbacks == (("blocks.0.attn.qkv", "runs as MatMul on no layer"),)


def test_version_11_names_the_types_in_a_field_of_their_own() -> None:
    told = json.loads(json.dumps(TOLD))
    for layer in told["Layers"]:
        for tensor in layer["Inputs"]:
            tensor["DataType"] = tensor.pop("Format/Datatype")
            tensor["Format"] = "Row major linear"
    assert kernels(told, PRODUCTS) == kernels(TOLD, PRODUCTS)


def test_names_alone_say_nothing_of_precision() -> None:
    with pytest.raises(VerificationFailed, match=r"the names of its layers only; build it with build\.py"):
        kernels({"Layers": ["node_MatMul_1", "node_conv2d"]}, PRODUCTS)
