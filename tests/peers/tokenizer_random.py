"""Tokenizers put together at random from all parts that lspo reads, and what the tokenizers library makes of many
texts: the folders "ids-random-SEED"."""
import json
import os
import random

import tokenizer_kinds
import tokenizers_peer

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

EXPRESSIONS = [r"\p{N}{1,3}", r"\s+", r"\w+|[^\w\s]+", tokenizer_kinds.GPT4, tokenizer_kinds.GPT4O,
               tokenizer_kinds.DEEPSEEK3,
               tokenizer_kinds.QWEN2, tokenizer_kinds.BLOOM, tokenizer_kinds.CLIP, r"\p{L}\p{M}*", r"(?i:the|god)",
               r"(?<=a)b",
               r"\R", r"[[:alpha:]]+", r"\p{Lu}", r"[^\S\n]", r"\d+", r"\p{Han}", r"[a-z&&[^aeiou]]+", r"^a", r"a$",
               r".",
               r"\p{P}", r"\p{Mn}", r"\h+", r"(a|b)+?c", r"a{1,2}?", r" {2,}", r"[[:punct:]]", r"\p{L}+(?=\s)",
               r"(?>a+)a", r"\W"]
TEXTS = [" ", "a", "the", "\u2581", ".", "\n", "e\u0301", "\u00e9", "  ", "th", "``", "\u3000", "0", "\U0001f600"]
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
ADDED = ["God", "the", " a", "12", "  ", "    ", "IN", "in", "<s>", "e\u0301", "\u212b", "\n", "\n\n", "ab", "[MASK]",
         "\u2581", "The",
         "\ufb01", "\u0130", "'s", "x ", "\u3000", "\u00bd", "th", "THE"]


class Draw(random.Random):
    def flag(self, chance=0.5):
        return self.random() < chance


def normalizer(draw, depth=0):
    makers = [getattr(normalizers, name) for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt",
                                                      "ByteLevel")]
    makers += [
        lambda: normalizers.Replace(draw.choice(TEXTS), draw.choice(TEXTS + [""])),
        lambda: normalizers.Replace(Regex(draw.choice(EXPRESSIONS)), draw.choice(TEXTS + [""])),
        lambda: normalizers.Prepend(draw.choice(TEXTS)), lambda: normalizers.Strip(draw.flag(), draw.flag()),
        lambda: normalizers.BertNormalizer(draw.flag(), draw.flag(), draw.choice([None, True, False]), draw.flag()),
        tokenizer_kinds.with_charsmap]
    if depth < 2 and draw.flag(0.3):
        return normalizers.Sequence([normalizer(draw, depth + 1) for _ in range(draw.randrange(4))])
    return draw.choice(makers)()


def pre_tokenizer(draw, depth=0):
    makers = [
        pre_tokenizers.Whitespace, pre_tokenizers.WhitespaceSplit, pre_tokenizers.BertPreTokenizer,
        lambda: pre_tokenizers.Digits(draw.flag()), lambda: pre_tokenizers.Punctuation(draw.choice(BEHAVIORS)),
        lambda: pre_tokenizers.Split(draw.choice(TEXTS), draw.choice(BEHAVIORS), draw.flag(0.3)),
        lambda: pre_tokenizers.Split(Regex(draw.choice(EXPRESSIONS)), draw.choice(BEHAVIORS), draw.flag(0.3)),
        lambda: pre_tokenizers.Metaspace(draw.choice("\u2581\u2581_"), draw.choice(["always", "first", "never"]),
                                         draw.flag()),
        lambda: pre_tokenizers.ByteLevel(add_prefix_space=draw.flag(), use_regex=draw.flag()),
        lambda: pre_tokenizers.CharDelimiterSplit(draw.choice("a x.\u2581"))]
    if depth < 2 and draw.flag(0.3):
        return pre_tokenizers.Sequence([pre_tokenizer(draw, depth + 1) for _ in range(draw.randrange(1, 4))])
    return draw.choice(makers)()


def revealing():
    """Ids are the bytes of each word and a bar at its end: they tell every change of a character and every cut."""
    vocabulary = {"<0x%02X>" % byte: byte for byte in range(256)}
    vocabulary["<unk>"] = 256
    return models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, end_of_word_suffix="|")


def trained(draw, tokenizer):
    kind = draw.choice(["BPE", "WordPiece", "Unigram", "WordLevel"])
    if kind == "BPE":
        tokenizer.model = models.BPE(unk_token="<unk>", fuse_unk=draw.flag(), ignore_merges=draw.flag(0.3))
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    elif kind == "Unigram":
        tokenizer.model = models.Unigram()
        trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>",
                                          show_progress=False)
    else:
        tokenizer.model = getattr(models, kind)(unk_token="<unk>")
        trainer = getattr(trainers, kind + "Trainer")(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(tokenizers_peer.CORPUS, trainer)


def add_tokens(draw, tokenizer):
    """Without those that are empty, or the same as another, once they are normalised: lspo refuses them."""
    seen = set()
    for _ in range(draw.randrange(6)):
        text, normalized = draw.choice(ADDED), draw.flag()
        searched = tokenizer.normalizer.normalize_str(text) if normalized and tokenizer.normalizer else text
        if searched and searched not in seen and text not in seen:
            tokenizer.add_tokens([AddedToken(text, lstrip=draw.flag(0.3), rstrip=draw.flag(0.3),
                                             single_word=draw.flag(0.3),
                                             normalized=normalized)])
        seen |= {searched, text}


def make(seed):
    draw = Draw(seed)
    tokenizer = Tokenizer(revealing())
    if draw.flag(0.6):
        tokenizer.normalizer = normalizer(draw)
    if draw.flag(0.8):
        tokenizer.pre_tokenizer = pre_tokenizer(draw)
    if draw.flag():
        trained(draw, tokenizer)
    add_tokens(draw, tokenizer)
    if draw.flag(0.3):
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<unk> $A", special_tokens=[("<unk>", tokenizer.token_to_id("<unk>"))])
    return tokenizer


def write(folder, kinds, count):
    """`kinds` folders; what the library itself fails on (it panics on some) is left out."""
    for seed in range(kinds):
        draw = random.Random(seed)
        texts = tokenizers_peer.TEXTS + [tokenizers_peer.any_text(draw) for _ in range(count)]
        try:
            tokenizer = make(seed)
            cases = [{"text": text, "ids": tokenizer.encode(text).ids} for text in texts]
        except BaseException as error:  # pylint: disable=broad-except; a panic of Rust is no Exception
            if isinstance(error, KeyboardInterrupt):
                raise
            continue
        place = os.path.join(folder, "tokenizers", "ids-random-%d" % seed)
        os.makedirs(place, exist_ok=True)
        tokenizer.save(os.path.join(place, "tokenizer.json"), pretty=False)
        with open(os.path.join(place, "cases.json"), "w", encoding="utf-8") as file:
            json.dump(cases, file, ensure_ascii=True, separators=(",", ":"))
