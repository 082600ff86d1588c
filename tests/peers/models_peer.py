"""Small random GPT-2, Llama and RoBERTa checkpoints, and what torch makes of them: logits, loss, gradients, AdamW
steps."""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig,
                          MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
                          RobertaConfig, RobertaForMaskedLM, RobertaForSequenceClassification)

# A key's bias has gradient 0 in exact arithmetic.  With Adam's usual epsilon of 1e-8 its rounding noise would become
# full steps in random directions; with this one noise stays noise.
LEARNING_RATE, WEIGHT_DECAY, EPSILON, STEPS = 1e-2, 0.1, 1e-4, 3


def gpt2(width, **options):
    return GPT2LMHeadModel(GPT2Config(vocab_size=31, n_positions=12, n_embd=width, n_layer=2, n_head=3, resid_pdrop=0.0,
                                      embd_pdrop=0.0, attn_pdrop=0.0, initializer_range=0.2, **options))


def like_llama(config, model, width, **options):
    return model(config(vocab_size=29, hidden_size=width, intermediate_size=2 * width + 4, num_hidden_layers=2,
                        num_attention_heads=6, max_position_embeddings=12, initializer_range=0.2, **options))


def llama(width, **options):
    return like_llama(LlamaConfig, LlamaForCausalLM, width, **options)


def grouped(config, model, width, **options):
    return like_llama(config, model, width, num_key_value_heads=2, **options)


# Of 12 positions, three pairs of elements turn more often than high, between, and less often than low.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 0.3, "high_freq_factor": 1.5,
          "original_max_position_embeddings": 12}


def roberta_config(width):
    return RobertaConfig(vocab_size=31, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
                         num_attention_heads=3, max_position_embeddings=14, type_vocab_size=1, pad_token_id=1,
                         hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0,
                         initializer_range=0.2, layer_norm_eps=1e-5, num_labels=3)


# Name, model, dtype of the saved weights, tensors' files (shards of this size in bytes), whether the answers are
# recorded in full: only logits for the others.
MODELS = [
    ("gpt2", lambda w: gpt2(w), torch.float32, None, True),
    ("gpt2-untied", lambda w: gpt2(w, tie_word_embeddings=False, layer_norm_epsilon=1e-3, n_inner=w + 4),
     torch.bfloat16, None,
     False),
    ("gpt2-sharded", lambda w: gpt2(w), torch.float16, 2000, False),
    ("llama", lambda w: llama(w, num_key_value_heads=2, rope_theta=500.0, rms_norm_eps=1e-5), torch.float32, None,
     True),
    ("llama-tied", lambda w: llama(w, tie_word_embeddings=True), torch.bfloat16, None, False),
    ("roberta", lambda w: RobertaForSequenceClassification(roberta_config(w)), torch.float32, None, True),
    ("roberta-masked", lambda w: RobertaForMaskedLM(roberta_config(w)), torch.float16, None, False),
    ("llama3", lambda w: grouped(LlamaConfig, LlamaForCausalLM, w, head_dim=6, attention_bias=True, mlp_bias=True,
                                 rope_parameters=LLAMA3), torch.float32, None, True),
    ("llama-linear", lambda w: llama(w, rope_parameters={"rope_type": "linear", "rope_theta": 50.0, "factor": 3.0}),
     torch.float32, None, False),
    ("mistral", lambda w: grouped(MistralConfig, MistralForCausalLM, w, head_dim=4, sliding_window=8), torch.bfloat16,
     None, False),
    ("qwen2", lambda w: grouped(Qwen2Config, Qwen2ForCausalLM, w, tie_word_embeddings=True), torch.float32, None, True),
    ("qwen3", lambda w: grouped(Qwen3Config, Qwen3ForCausalLM, w, head_dim=4), torch.float32, None, True),
]


def make_batch(model, name, vocabulary):
    tokens = torch.randint(2, vocabulary, (2, 8))
    inputs = {"input_ids": tokens}
    if name == "roberta":
        mask = torch.ones_like(tokens)
        mask[1, 5:] = 0
        tokens[1, 5:] = 1
        return inputs | {"attention_mask": mask}, torch.tensor([2, 0])
    targets = torch.randint(2, vocabulary, (2, 8))
    targets[0, :3] = -100
    return inputs, targets


def loss_of(logits, targets):
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def answers(model, name, full):
    vocabulary = model.config.vocab_size
    inputs, targets = make_batch(model, name, vocabulary)
    logits = model(**inputs).logits
    loss = loss_of(logits, targets)
    found = {"tokens": inputs["input_ids"], "targets": targets, "logits": logits.detach(),
             "loss": loss.detach().reshape(1)}
    if not full:
        return found
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, eps=EPSILON, weight_decay=WEIGHT_DECAY)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model(**inputs).logits, targets).backward()
        if step == 0:
            found |= {"gradient." + key: p.grad.clone() for key, p in model.named_parameters()}
        optimizer.step()
    found |= {"stepped." + key: p.detach().clone() for key, p in model.named_parameters()}
    return found


def generated(model):
    """Greedy texts from several beginnings, as long as the model's positions and window allow."""
    most = min(12, getattr(model.config, "sliding_window", None) or 12)
    prompts = torch.randint(2, model.config.vocab_size, (4, 3))
    texts = model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False, eos_token_id=None,
                           pad_token_id=0, max_new_tokens=most - 3)
    return {"prompts": prompts, "texts": texts}


def write_generated(place, model):
    if "ForCausalLM" in type(model).__name__ or "LMHead" in type(model).__name__:
        save_file({k: v.contiguous() for k, v in generated(model).items()},
                  os.path.join(place, "generated.safetensors"))


def write(folder, width):
    torch.manual_seed(1)
    for name, make, dtype, shard_bytes, full in MODELS:
        place = os.path.join(folder, "models", name)
        os.makedirs(place, exist_ok=True)
        model = make(width).eval()
        # Biases and gains away from 0 and 1, so that a lost one is seen; rounded to what the file holds.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
                parameter.copy_(parameter.to(dtype).float())
        model.to(dtype)
        model.save_pretrained(place, **({"max_shard_size": shard_bytes} if shard_bytes else {}))
        # Not model.float(): the table of rotary frequencies would have been rounded too.
        model = type(model).from_pretrained(place, dtype=torch.float32).eval()
        for extra in ("generation_config.json",):
            if os.path.exists(os.path.join(place, extra)):
                os.remove(os.path.join(place, extra))
        write_generated(place, model)
        save_file({k: v.contiguous() for k, v in answers(model, name, full).items()},
                  os.path.join(place, "answers.safetensors"))


def reload(folder):
    """Do models that lspo saved give their logits again?  Prints the largest relative difference of each."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification
    from safetensors.torch import load_file
    for name in sorted(os.listdir(folder)):
        place = os.path.join(folder, name)
        with open(os.path.join(place, "config.json"), encoding="utf-8") as file:
            architecture = json.load(file)["architectures"][0]
        kind = (AutoModelForSequenceClassification if "Classification" in architecture else
                AutoModelForMaskedLM if "MaskedLM" in architecture else AutoModelForCausalLM)
        model = kind.from_pretrained(place, dtype=torch.float32).eval()
        wanted = load_file(os.path.join(place, "..", "..", "models", name, "answers.safetensors"))
        inputs = {"input_ids": wanted["tokens"]}
        if name == "roberta":
            inputs["attention_mask"] = (wanted["tokens"] != 1).long()
        logits = model(**inputs).logits
        worst = ((logits - wanted["logits"]).abs().max() / wanted["logits"].abs().max()).item()
        print("transformers on the folder that lspo saved, %s: logits differ by %.1e" % (name, worst))
        assert worst < 1e-5, name
