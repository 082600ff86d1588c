"""Small tokenizers of every supported kind and what the tokenizers library makes of many texts."""
import json
import os
import random

import tokenizer_kinds

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
META = "\u2581"

CORPUS = [
    "In the beginning God created the heaven and the earth. And the earth was without form, and void;",
    "It's what they've said: we'll go, I'm sure, he'd've gone -- don't you think they're right?",
    "int main(void)\n{\n\treturn printf(\"%d\\n\", 42);\n}\n\n/* 3.14159, 0x1F, 1e-9 */   \n",
    "Größe, naïve, façade; Ωμέγα καὶ ἄλφα; Привет, мир! 你好，世界。こんにちは 123 ٣٤٥ ½ Ⅷ",
    "  leading blanks,\ttabs\u00a0and\u3000wide ones  ", "the the the and and of of to to in in that that 2024 1234567",
] * 8

TEXTS = CORPUS[:6] + [
    "", " ", "  ", "\n", "\n\n \n", " a", "a ", "  a  b  ", "\t\tx", "a\r\nb\r\n\r\n c", "'s's 'S 'LL 'll'",
    "'\u017f x",
    "a\u00a0b\u2003c\u3000", "e\u0301 \u1e9e \U0001f600\U0001f468\u200d\U0001f469 \U00020000",
    "\u0000\u0001\u007f\u0080\u00ad",
    "don't DON'T can't we'RE", "12345678 1 22 333 4444", "x" * 70, "ab" * 100, "a" * 200 + " " + "b" * 3,
    " " * 90 + "z",
    "<s>", "</s> <mask> x", "a <mask>  b", "one<|endoftext|>two", " <|endoftext|> ", "<|endoftext|><|endoftext|>",
    "<s>a</s>",
    "<unk><pad>", META, "a" + META + "b " + META + " c", "<0x41>", "!?...;;,, --", "\u0664\u0665 \u2167 \u00bd",
    "\ufffd\ufeffx",
]


def byte_level(pattern=None, prefix=False):
    tokenizer = Tokenizer(models.BPE())
    if pattern:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, pre_tokenizers.ByteLevel.alphabet()


def train(tokenizer, alphabet, specials, vocabulary):
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=specials, initial_alphabet=alphabet,
                                  show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def gpt2(vocabulary):
    tokenizer, alphabet = byte_level()
    return train(tokenizer, alphabet, ["<|endoftext|>"], vocabulary)


def roberta(vocabulary):
    tokenizer, alphabet = byte_level(prefix=True)
    mask = AddedToken("<mask>", lstrip=True, special=True)
    train(tokenizer, alphabet, ["<s>", "<pad>", "</s>", "<unk>", mask], vocabulary)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def llama3(vocabulary, pattern=LLAMA3):
    tokenizer, alphabet = byte_level(pattern)
    train(tokenizer, alphabet, ["<|begin_of_text|>", "<|endoftext|>"], vocabulary)
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)])])
    return tokenizer


def llama_alphabet():
    return ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]


def llama_model(tokenizer, vocabulary, ignore_merges=False):
    """Merges trained on words, in a vocabulary with byte tokens: what SentencePiece models are converted to."""
    trainer = Tokenizer(models.BPE())
    trainer.normalizer = normalizers.Replace(" ", META)
    trainer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    train(trainer, [], [], vocabulary)
    learned = json.loads(trainer.to_str())["model"]
    vocab = {token: i for i, token in enumerate(llama_alphabet())}
    # Some characters are left out, so that their bytes are taken.
    for token in sorted(learned["vocab"], key=learned["vocab"].get):
        if not any(c in "\u4f60\u754cω;" for c in token):
            vocab[token] = len(vocab)
    merges = [tuple(m) for m in learned["merges"] if m[0] in vocab and m[1] in vocab and m[0] + m[1] in vocab]
    tokenizer.model = models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True,
                                 ignore_merges=ignore_merges)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])


def llama(vocabulary):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(META), normalizers.Replace(" ", META)])
    llama_model(tokenizer, vocabulary)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(META, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    return tokenizer


def llama_metaspace(vocabulary, scheme="first", split=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    llama_model(tokenizer, vocabulary, ignore_merges=split)
    if split:
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    else:
        tokenizer.decoder = decoders.Sequence([decoders.Replace(META, " "), decoders.ByteFallback(), decoders.Fuse(),
                                               decoders.Strip(" ", 1, 0)])
    return tokenizer


def unknown(vocabulary):
    """No byte fallback: unknown characters are fused; an added token that is searched in the normalised text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", META)
    train(tokenizer, [], ["<unk>"], vocabulary)
    tokenizer.add_tokens([AddedToken("in the", normalized=True), AddedToken("and", normalized=True, lstrip=True,
                                                                            rstrip=True)])
    return tokenizer


KINDS = {
    "gpt2": gpt2, "roberta": roberta, "llama": llama, "llama3": llama3, "unknown": unknown,
    "llama-first": llama_metaspace,
    "llama-split": lambda vocabulary: llama_metaspace(vocabulary, "always", True),
    "qwen2": lambda vocabulary: llama3(vocabulary, QWEN2),
}


def random_text(draw):
    pools = ["abcdeABC thein", " \t\n\r", "0123456789", ".,;:'!?-()<>/", "äöüßéñ", "αβγω", "你好世界",
             "\u00a0\u2003\u3000\u0085",
             "\u0301\u200d\ufe0f", "😀👍🏽", "٣٤½Ⅷ", "'s't're", META + "<s>"]
    text = ""
    for _ in range(draw.randrange(1, 12)):
        pool = draw.choice(pools)
        text += "".join(draw.choice(pool) for _ in range(draw.randrange(1, 6)))
    if draw.random() < 0.1:
        code = draw.randrange(0x110000)
        text += chr(code) if not 0xD800 <= code < 0xE000 else ""
    return text


def random_character(draw):
    code = draw.randrange(draw.choice([0x80, 0x250, 0x3200, 0x20000, 0x110000]))
    return "" if 0xD800 <= code < 0xE000 else chr(code)


def any_text(draw):
    """Characters from anywhere, some of them twice, between what tokenizers treat in a way of its own."""
    parts = ["the ", "God", "God's", ". ", "  ", "\n", " 12", "'s", "<s>", "[MASK]", "e\u0301", "\u0915\u094d\u0937",
             "\uac00\u11a8", "\ufb01",
             "\u212b", "\u0130", "IN", "in", "``a''"]
    return "".join(draw.choice(parts) if draw.random() < 0.3 else random_character(draw) * draw.choice([1, 1, 2])
                   for _ in range(draw.randrange(1, 25)))


def write_ids(folder, vocabulary, count):
    """The kinds of which only ids are compared: "ids-NAME"."""
    draw = random.Random(2)
    texts = TEXTS + [any_text(draw) for _ in range(count)]
    for kind, tokenizer in tokenizer_kinds.kinds(CORPUS, vocabulary):
        place = os.path.join(folder, "tokenizers", "ids-" + kind)
        os.makedirs(place, exist_ok=True)
        tokenizer.save(os.path.join(place, "tokenizer.json"), pretty=False)
        cases = [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]
        with open(os.path.join(place, "cases.json"), "w", encoding="utf-8") as file:
            json.dump(cases, file, ensure_ascii=True, separators=(",", ":"))


def write(folder, vocabulary, random_count):
    """One folder a kind: tokenizer.json, and cases.json with ids, ids without special tokens, and decoded texts."""
    draw = random.Random(1)
    texts = TEXTS + [random_text(draw) for _ in range(random_count)]
    for kind, make in KINDS.items():
        place = os.path.join(folder, "tokenizers", kind)
        os.makedirs(place, exist_ok=True)
        tokenizer = make(vocabulary)
        tokenizer.save(os.path.join(place, "tokenizer.json"), pretty=False)
        if kind == "gpt2":
            two = os.path.join(folder, "tokenizers", "gpt2-files")
            os.makedirs(two, exist_ok=True)
            tokenizer.model.save(two)
        cases = []
        for text in texts:
            ids = tokenizer.encode(text, add_special_tokens=True).ids
            plain = tokenizer.encode(text, add_special_tokens=False).ids
            case = {"text": text, "ids": ids, "plain": plain,
                    "decoded": tokenizer.decode(plain, skip_special_tokens=False),
                    "skipped": tokenizer.decode(ids, skip_special_tokens=True)}
            # What is left out is the same as what it is made from.
            same = {"plain": "ids", "decoded": "text", "skipped": "text"}
            cases.append({key: value for key, value in case.items() if key not in same or value != case[same[key]]})
        for name in [kind] + (["gpt2-files"] if kind == "gpt2" else []):
            with open(os.path.join(folder, "tokenizers", name, "cases.json"), "w", encoding="utf-8") as file:
                json.dump(cases, file, ensure_ascii=True, separators=(",", ":"))
    write_ids(folder, vocabulary, random_count)
