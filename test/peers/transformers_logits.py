"""Logits of transformers and PEFT in f32, for a list of models.

Reads JSON from standard input: [{"base": folder, "adapter": folder or null, "ids": [token, ..], "out": file}, ..]
and writes each result as raw little-endian f32, [len(ids), vocabulary].
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(2)
for case in json.load(sys.stdin):
    model = AutoModelForCausalLM.from_pretrained(case["base"], dtype=torch.float32, attn_implementation="eager")
    if case["adapter"] is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, case["adapter"])
    model.eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([case["ids"]])).logits[0]
    with open(case["out"], "wb") as file:
        file.write(logits.contiguous().numpy().astype("<f4").tobytes())
