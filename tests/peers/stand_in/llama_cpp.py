"""In place of llama-cpp-python for test_llama_peer.sh: checks the GGUF file.  A token takes TOKEN_S on a clock
that nothing else advances."""
import os
import struct
import time

clock_s = 0.0
time.perf_counter = lambda: clock_s


class File:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def text(self):
        count = self.take("Q")
        self.at += count
        return self.data[self.at - count:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.take("IQ")
            return [self.value(inner) for _ in range(count)]
        return self.take({4: "I", 5: "i", 6: "f"}[kind])


class Llama:
    def __init__(self, model_path, **_):
        file = File(model_path)
        assert file.data[:4] == b"GGUF"
        file.at = 4
        version, tensors, entries = file.take("IQQ")
        assert version == 3
        values = {}
        for _ in range(entries):
            key = file.text()
            values[key] = file.value(file.take("I"))
        assert values["general.architecture"] == "llama" and len(values["tokenizer.ggml.tokens"]) == 256
        end = 0
        for _ in range(tensors):
            name, count = file.text(), 1
            for size in (sizes := [file.take("Q") for _ in range(file.take("I"))]):
                count *= size
            kind, at = file.take("IQ")
            assert at == end and at % 32 == 0, name
            assert len(sizes) == 1 or sizes[0] == values["llama.embedding_length"] or "down" in name, name
            end += count // 32 * 18 if kind == 2 else 4 * count
        file.at += -file.at % 32
        assert file.at + end == len(file.data)
        self.token_s = float(os.environ["TOKEN_S"])

    def reset(self):
        pass

    def eval(self, tokens):
        global clock_s
        clock_s += self.token_s * len(tokens)
