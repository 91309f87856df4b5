"""PyTorch + PEFT on rows of mixed length: each batch padded to its longest row, as a Trainer's collator pads.
Prints one JSON row. arguments: HF_FOLDER DATA.jsonl DTYPE BATCH RANK STEPS WARMUP CUTOFF"""
import json
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, data, dtype, *numbers = sys.argv[1:]
batch, rank, steps, warmup, cutoff = map(int, numbers)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-4, weight_decay=0.01)
with open(data) as file:
    rows = [json.loads(line) for _, line in zip(range(batch * (steps + warmup)), file)]
ids = [tokenizer(f"Question: {r['question']}\nAnswer: {r['answer']}", add_special_tokens=False).input_ids for r in rows]
ids = [(row + [tokenizer.eos_token_id])[:cutoff] for row in ids]
seconds, trained, read = 0.0, 0, 0
for step in range(steps + warmup):
    rows = ids[step * batch : (step + 1) * batch]
    width = max(map(len, rows))
    padded = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    start = time.perf_counter()
    loss = model(input_ids=padded, attention_mask=mask, labels=padded.masked_fill(mask == 0, -100)).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if step < warmup:
        continue
    seconds += time.perf_counter() - start
    trained += sum(len(row) - 1 for row in rows)
    read += sum(map(len, rows))
print(json.dumps({
    "tokens_per_s": read / seconds,
    "trained_tokens_per_s": trained / seconds,
    "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "threads": torch.get_num_threads(),
}))
