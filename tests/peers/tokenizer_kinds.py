"""Tokenizers of the kinds that Hugging Face's fast format has in wide use, small and trained on a few lines; only their
ids are compared, unlike those of tokenizers_peer.py, which lspo turns into text again, too."""
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

META = "\u2581"

# SentencePiece's table for 15 replacements (full-width letters, ligatures, unusual blanks, a composed letter, ...),
# made by spm_train --normalization_rule_tsv.
CHARSMAP = (
    "AAQAAAAgAAAJCQAACgUAAAEAAIDMDAIADRkAAIEFAAARAACAoC0AAKkNAAATAACAgDQCAAAAAICLBQAAoAUAAAMAAICABAIAgEkA"
    "AAwAAICBGQAAghkAABcAAIAIAACACgAAgKE5AACYEAIAkdACAKIxAACfdAIAgA0AAAUAAICPJAIArMgCACAAAAAjAAAAIgAAACUA"
    "AAAkAAAAJwAAACYAAAApAAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAALwkAgAwAAAAMwAAADIAAAA1AAAANAAAADcAAAA2"
    "AAAAOQAAADgAAAA7AAAAOgAAAD0AAAA8AAAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAA"
    "SwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAAAABTAAAAUgAAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAA"
    "AFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABlAAAAZAAAAGcAAABmAAAAaQAAAGgAAABrAAAAagAAAG0AAABllAIAbwAAAG4A"
    "AABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACD"
    "AAAAggAAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAA"
    "lAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAKMAAACiAAAApQAAAKQAAACnAAAApgAA"
    "AKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAACuAAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AAAAuAAAALsA"
    "AAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADFAAAAxAAAAMcAAADGAAAAyQAAAMgAAADCiAEAw6wBAM0AAADM"
    "AAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA"
    "4QAAAOAAAADjAAAA4gAAAOUAAADkAAAA5wAAAO+sAQDpAAAA6AAAAOKEAQDj7AEA7QAAAOwAAADvAAAA7gAAAPEAAADwAAAA8wAA"
    "APIAAAD1AAAA9AAAAPcAAAD2AAAA8OwBAPgAAAD7AAAA+gAAAP0AAAD8AAAA/wAAAP4AAAAAIAAxADopAEEAQgBhLm0uAGUAZcyB"
    "AGZpAA==")

GPT4 = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
             "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def sequence(*members):
    return pre_tokenizers.Sequence(list(members))


def bytes_only():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


class Maker:
    """Trains on a corpus; `vocabulary`: tokens."""

    def __init__(self, corpus, vocabulary):
        self.corpus, self.vocabulary = corpus, vocabulary

    def train(self, tokenizer, specials=(), **options):
        kind = type(tokenizer.model).__name__
        trainer = {"BPE": trainers.BpeTrainer, "WordPiece": trainers.WordPieceTrainer,
                   "Unigram": trainers.UnigramTrainer,
                   "WordLevel": trainers.WordLevelTrainer}[kind]
        if kind != "Unigram":
            options.setdefault("vocab_size", self.vocabulary)
        else:
            options.setdefault("vocab_size", self.vocabulary // 2)
            options.setdefault("unk_token", "<unk>")
        tokenizer.train_from_iterator(self.corpus, trainer(special_tokens=list(specials), show_progress=False,
                                                           **options))
        return tokenizer

    def byte_level(self, pre_tokenizer, normalizer=None, added=()):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizer
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.decoder = decoders.ByteLevel()
        self.train(tokenizer, ["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.add_tokens(list(added))
        return tokenizer

    def bert(self, **options):
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
        tokenizer.normalizer = normalizers.BertNormalizer(**options)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self.train(tokenizer, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        return tokenizer

    def openai_gpt(self):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return self.train(tokenizer, ["<unk>"], end_of_word_suffix="</w>")

    def prefixed(self):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        return self.train(tokenizer, ["<unk>"], continuing_subword_prefix="##", limit_alphabet=40)

    def clip(self):
        tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                                     normalizers.Lowercase()])
        tokenizer.pre_tokenizer = sequence(split(CLIP, "removed", True),
                                           pre_tokenizers.ByteLevel(add_prefix_space=False))
        self.train(tokenizer, ["<|startoftext|>", "<|endoftext|>"], end_of_word_suffix="</w>",
                   initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0))
        return tokenizer

    def unigram(self, normalizer, pre_tokenizer, byte_fallback=False):
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizer
        self.train(tokenizer, ["<pad>", "</s>", "<unk>"])
        if byte_fallback:
            state = json.loads(tokenizer.to_str())
            state["model"]["vocab"] += [["<0x%02X>" % byte, -30.0] for byte in range(256)]
            state["model"]["byte_fallback"] = True
            tokenizer = Tokenizer.from_str(json.dumps(state))
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
        return tokenizer

    def precompiled(self):
        return normalizers.Sequence([with_charsmap()])

    def t5(self):
        return self.unigram(with_charsmap(), sequence(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()))

    def xlm_roberta(self):
        return self.unigram(with_charsmap(), pre_tokenizers.Metaspace(), byte_fallback=True)

    def albert(self):
        return self.unigram(normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'),
                                                  normalizers.NFKD(),
                                                  normalizers.StripAccents(), normalizers.Lowercase(), with_charsmap(),
                                                  normalizers.Replace(Regex(" {2,}"), " ")]),
                            sequence(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()))

    def gemma(self):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        tokenizer.normalizer = normalizers.Replace(" ", META)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        self.train(tokenizer, ["<unk>", "<bos>"] + ["<0x%02X>" % byte for byte in range(256)], limit_alphabet=50,
                   vocab_size=self.vocabulary + 256)
        tokenizer.add_tokens([AddedToken("\n" * n, normalized=False) for n in range(2, 5)] +
                             [AddedToken(META * n, normalized=False) for n in range(2, 5)])
        tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
        return tokenizer

    def words(self):
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.Strip(), normalizers.NFD(),
                                                     normalizers.StripAccents()])
        return self.train(tokenizer, ["<unk>"])

    def added(self):
        """Added tokens with every flag, some searched in the normalised text."""
        return self.byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), normalizers.Lowercase(), [
            AddedToken("God", single_word=True), AddedToken("the", single_word=True, normalized=False),
            AddedToken(" a", lstrip=True), AddedToken("12", rstrip=True, normalized=False),
            AddedToken("  ", normalized=False),
            AddedToken("    ", normalized=False), AddedToken("IN", normalized=True),
            AddedToken("IN", normalized=False)])


def with_charsmap():
    empty = Tokenizer(models.BPE())
    state = json.loads(empty.to_str())
    state["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}
    return Tokenizer.from_str(json.dumps(state)).normalizer


def simple(name):
    """Byte-level behind each pre-tokenizer and behavior."""
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    if name == "behaviors":
        return sequence(*[pre_tokenizers.Split(text, behavior) for text, behavior in zip("etaoi", behaviors)],
                        split(r"[.,;]", "merged_with_previous", True), pre_tokenizers.CharDelimiterSplit("x"),
                        bytes_only())
    if name == "punctuation":
        return sequence(pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Digits(), bytes_only())
    return sequence(pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Punctuation("contiguous"),
                    pre_tokenizers.Metaspace(prepend_scheme="first"), bytes_only())


def kinds(corpus, vocabulary):
    """Name and tokenizer of each kind."""
    m = Maker(corpus, vocabulary)
    yield "smollm", m.byte_level(sequence(pre_tokenizers.Digits(True),
                                          pre_tokenizers.ByteLevel(add_prefix_space=False)))
    yield "falcon", m.byte_level(sequence(pre_tokenizers.Punctuation("contiguous"),
                                          pre_tokenizers.ByteLevel(add_prefix_space=False),
                                          pre_tokenizers.Digits(False),
                                          split("[0-9][0-9][0-9]")))
    yield "starcoder", m.byte_level(sequence(pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel()))
    yield "deepseek", m.byte_level(sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                                            split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"),
                                            pre_tokenizers.Digits(True),
                                            bytes_only()))
    yield "deepseek-v3", m.byte_level(sequence(split(r"\p{N}{1,3}"),
                                               split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                                               split(DEEPSEEK3), bytes_only()))
    yield "qwen", m.byte_level(sequence(split(QWEN2), bytes_only()), normalizers.NFC())
    yield "gpt4", m.byte_level(sequence(split(GPT4), bytes_only()))
    yield "gpt4o", m.byte_level(sequence(split(GPT4O), bytes_only()))
    yield "bloom", m.byte_level(sequence(split(BLOOM), bytes_only()))
    yield "nested-classes", m.byte_level(sequence(split(r"[\w&&[^\d_]]+|[^\w\s[,]]+|[[:punct:]]+|\h{2,}"),
                                                  bytes_only()))
    yield "word-borders", m.byte_level(sequence(split(r"\b[a-z]\w*\b|^\s|\s$"), bytes_only()))
    yield "scripts", m.byte_level(sequence(split(r"\p{Han}+|\p{Greek}+|\p{Alphabetic}+|\P{L}"), bytes_only()))
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form.lower(), m.byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), getattr(normalizers, form)())
    for name in ("behaviors", "punctuation", "metaspace"):
        yield name, m.byte_level(simple(name))
    yield "added", m.added()
    yield "bert", m.bert(lowercase=True)
    yield "bert-cased", m.bert(lowercase=False)
    yield "bert-plain", m.bert(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    yield "openai-gpt", m.openai_gpt()
    yield "prefixed", m.prefixed()
    yield "clip", m.clip()
    yield "t5", m.t5()
    yield "xlm-roberta", m.xlm_roberta()
    yield "albert", m.albert()
    yield "gemma", m.gemma()
    yield "words", m.words()
