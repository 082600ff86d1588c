"""A token of lspo generate in 4 bits beside llama.cpp's on the CPU, with the same model and as many bits per weight.

llama_peer.py LSPO [WIDTH [BLOCKS]]: 77 without the Python package llama-cpp-python, 1 if lspo takes longer.

The model is a Llama of random weights with a token per byte: as a Hugging Face folder, which lspo rounds to codes in
groups of 32 with scales in fp16, and as a GGUF file in Q4_0, which is the same format: 4.5 bits per weight.  They take
turns; the medians of the times per token are compared, on one thread and on all.
"""
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time

try:
    import llama_cpp
except ImportError:
    print("llama.cpp: skipped, since Python has no package llama-cpp-python")
    sys.exit(77)

PROMPT, TOKENS, ROUNDS, VOCABULARY, BLOCK, LEVEL = 8, 24, 5, 256, 32, 1.05
U32, F32, I32, TEXT, ARRAY = 4, 6, 5, 8, 9  # types of values in GGUF
DENSE, Q4_0 = 0, 2  # types of tensors


def shapes(width, blocks):
    """Names in both files, and (outputs, inputs); of vectors (outputs,)."""
    inner, kv = width * 11 // 4, width // 2
    yield "token_embd", "model.embed_tokens", (VOCABULARY, width)
    for i in range(blocks):
        theirs, ours = f"blk.{i}.", f"model.layers.{i}."
        yield theirs + "attn_norm", ours + "input_layernorm", (width,)
        yield theirs + "attn_q", ours + "self_attn.q_proj", (width, width)
        yield theirs + "attn_k", ours + "self_attn.k_proj", (kv, width)
        yield theirs + "attn_v", ours + "self_attn.v_proj", (kv, width)
        yield theirs + "attn_output", ours + "self_attn.o_proj", (width, width)
        yield theirs + "ffn_norm", ours + "post_attention_layernorm", (width,)
        yield theirs + "ffn_gate", ours + "mlp.gate_proj", (inner, width)
        yield theirs + "ffn_up", ours + "mlp.up_proj", (inner, width)
        yield theirs + "ffn_down", ours + "mlp.down_proj", (width, inner)
    yield "output_norm", "model.norm", (width,)
    yield "output", "lm_head", (VOCABULARY, width)


def count_of(shape):
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def q4_0(weights):
    """Blocks of 32: the scale in fp16, then bytes of two codes, of weights i and i + 16."""
    packed = bytearray()
    for at in range(0, len(weights), BLOCK):
        block = weights[at:at + BLOCK]
        scale = max(block, key=abs) / -8
        codes = [min(15, int(w / scale + 8.5)) for w in block] if scale else [8] * BLOCK
        packed += struct.pack("<e", scale) + bytes(codes[i] | codes[i + 16] << 4 for i in range(16))
    return bytes(packed)


def write_folder(folder, width, blocks, piece):
    """piece: `width` weights, which every row of a matrix repeats."""
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": width,
              "intermediate_size": width * 11 // 4, "num_hidden_layers": blocks, "num_attention_heads": width // 128,
              "num_key_value_heads": width // 256, "vocab_size": VOCABULARY, "max_position_embeddings": 256,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu",
              "torch_dtype": "float16",
              "eos_token_id": VOCABULARY - 1}  # of tokens that are alike the first is chosen
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    header, at = {}, 0
    for _, name, shape in shapes(width, blocks):
        header[name + ".weight"] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + 2 * count_of(shape)]}
        at += 2 * count_of(shape)
    text = json.dumps(header).encode()
    row, ones = struct.pack(f"<{width}e", *piece), struct.pack("<e", 1)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, shape in shapes(width, blocks):
            file.write(row * (count_of(shape) // width) if len(shape) == 2 else ones * shape[0])


def text_of(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def entry(key, kind, value):
    return text_of(key) + struct.pack("<I", kind) + value


def array_of(kind, values):
    return struct.pack("<IQ", kind, len(values)) + b"".join(values)


def vocabulary():
    """A token per byte, three of which are special."""
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(3, VOCABULARY)]
    kinds = [2, 3, 3] + [6] * (VOCABULARY - 3)
    return [entry("tokenizer.ggml.model", TEXT, text_of("llama")),
            entry("tokenizer.ggml.tokens", ARRAY, array_of(TEXT, [text_of(name) for name in names])),
            entry("tokenizer.ggml.scores", ARRAY, array_of(F32, [struct.pack("<f", 0)] * VOCABULARY)),
            entry("tokenizer.ggml.token_type", ARRAY, array_of(I32, [struct.pack("<i", kind) for kind in kinds]))]


def write_gguf(path, width, blocks, piece):
    numbers = {"context_length": 256, "embedding_length": width, "block_count": blocks,
               "feed_forward_length": width * 11 // 4, "attention.head_count": width // 128,
               "attention.head_count_kv": width // 256, "rope.dimension_count": 128, "vocab_size": VOCABULARY}
    entries = [entry("general.architecture", TEXT, text_of("llama")),
               entry("general.file_type", U32, struct.pack("<I", 2)),
               entry("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)), *vocabulary()]
    entries += [entry("llama." + key, U32, struct.pack("<I", value)) for key, value in numbers.items()]
    tensors, info, at = list(shapes(width, blocks)), b"", 0
    for name, _, shape in tensors:
        matrix = len(shape) == 2
        info += text_of(name + ".weight") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape),
                                                        Q4_0 if matrix else DENSE, at)
        at += count_of(shape) // BLOCK * 18 if matrix else 4 * shape[0]  # all are multiples of 32 bytes
    row = q4_0(piece)
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries) + info)
        file.write(b"\0" * (-file.tell() % 32))
        for _, _, shape in tensors:
            file.write(row * (count_of(shape) // width) if len(shape) == 2 else struct.pack("<f", 1) * shape[0])


def our_token_s(lspo, folder, threads):
    run = [lspo, "generate", "--model", folder, "--weights", "int4", "--group", str(BLOCK), "--threads", str(threads),
           "--prompt", "x" * PROMPT, "--tokens", str(TOKENS), "--format", "json"]
    return json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)["token_s"]


def their_token_s(model):
    model.reset()
    model.eval([120] * PROMPT)
    start = time.perf_counter()
    for _ in range(TOKENS - 1):
        model.eval([120])
    return (time.perf_counter() - start) / (TOKENS - 1)


def compare(lspo, folder, gguf, threads):
    ours, theirs = [], []
    model = llama_cpp.Llama(model_path=gguf, n_ctx=256, n_threads=threads, n_threads_batch=threads, verbose=False)
    for _ in range(ROUNDS):
        ours.append(our_token_s(lspo, folder, threads))
        theirs.append(their_token_s(model))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    print(f"{threads} threads: a token takes lspo {1e3 * statistics.median(ours):.2f} ms, llama.cpp "
          f"{1e3 * statistics.median(theirs):.2f} ms")
    print(f"{'holds ' if ratio <= LEVEL else 'MISSED'} lspo over llama.cpp: {ratio:.2f}, wanted at most {LEVEL}")
    return ratio <= LEVEL


def main():
    width, blocks = (int(text) for text in (sys.argv[2:] + ["2048", "4"][len(sys.argv) - 2:]))
    draw = random.Random(1)
    piece = [draw.gauss(0, 0.02) for _ in range(width)]
    with tempfile.TemporaryDirectory() as folder:
        gguf = os.path.join(folder, "model.gguf")
        write_folder(folder, width, blocks, piece)
        write_gguf(gguf, width, blocks, piece)
        threads = sorted({1, len(os.sched_getaffinity(0))})
        return 0 if all([compare(sys.argv[1], folder, gguf, count) for count in threads]) else 1


sys.exit(main())
