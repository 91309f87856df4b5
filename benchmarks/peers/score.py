"""Multiple choice as EleutherAI's lm-evaluation-harness scores it with transformers: a question's choices are one padded
batch; where each choice is one token, one forward pass of the prompt serves all of them.
usage: score.py MODEL_DIR QUESTIONS.json DTYPE THREADS
QUESTIONS.json: [{"prompt", "choices": [" a", " b", ..]}, ..]. Prints {"ready": ..}, then for every line on stdin scores
all questions once and prints {"seconds", "loglikelihoods"}."""
import json, sys, time
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, file, dtype, threads = sys.argv[1:5]
torch.set_num_threads(int(threads))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
questions = json.load(open(file, encoding="utf8"))


def encode(text):
    return tokenizer(text, add_special_tokens=False).input_ids


@torch.inference_mode()
def score(question):
    count = len(encode(question["prompt"]))
    rows = [encode(question["prompt"] + choice) for choice in question["choices"]]
    own = [row[count:] for row in rows]
    if all(len(tokens) == 1 for tokens in own):
        logits = model(torch.tensor([rows[0][:count]])).logits[0, -1].float().log_softmax(-1)
        return [logits[tokens[0]].item() for tokens in own]
    longest = max(len(row) for row in rows) - 1  # the last token predicts nothing
    batch = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(batch)
    for i, row in enumerate(rows):
        batch[i, : len(row) - 1] = torch.tensor(row[:-1])
        mask[i, : len(row) - 1] = 1
    logits = model(batch, attention_mask=mask).logits
    sums = []
    for i, tokens in enumerate(own):
        predicted = logits[i, count - 1 : count - 1 + len(tokens)].float().log_softmax(-1)
        sums.append(predicted.gather(1, torch.tensor(tokens)[:, None]).sum().item())
    return sums


score(questions[0])
print(json.dumps({"ready": True, "threads": torch.get_num_threads()}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    sums = [score(question) for question in questions]
    print(json.dumps({"seconds": time.perf_counter() - start, "loglikelihoods": sums}), flush=True)
