"""Writes a sentence-transformers model as ONNX, and as ONNX with 8-bit weights by channel."""

import sys
from pathlib import Path

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel

model_folder, out = sys.argv[1], Path(sys.argv[2])
model = AutoModel.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="eager")
model.eval()


class Hidden(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state


names = ["input_ids", "attention_mask", "token_type_ids"]
ids = torch.randint(5, 1000, (2, 16))
mask = torch.ones_like(ids)
mask[1, 9:] = 0
inputs = (ids, mask, torch.zeros_like(ids))
axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "hidden"]}
torch.onnx.export(
    Hidden(),
    inputs,
    str(out / "model.onnx"),
    input_names=names,
    output_names=["hidden"],
    dynamic_axes=axes,
    opset_version=17,
    dynamo=False,
)
quantize_dynamic(
    out / "model.onnx", out / "model-int8.onnx", per_channel=True, weight_type=QuantType.QInt8
)
