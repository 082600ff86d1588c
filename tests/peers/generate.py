#!/usr/bin/env python3
"""What torch, transformers and tokenizers make of small random models and of many texts, for `make check-peers`.

    generate.py FOLDER              large: other shapes than the recorded ones, 3,000 random texts a tokenizer,
                                    120 tokenizers put together at random, 400 random chats a template,
                                    and the sizes of published models
    generate.py --small FOLDER      what tests/data/peers holds
    generate.py --reload FOLDER     let transformers read the models that lspo saved there
"""
import importlib
import sys


def main():
    # Exit status 77: skipped.
    for needed in ("torch", "transformers", "tokenizers", "safetensors"):
        try:
            importlib.import_module(needed)
        except ImportError:
            print("check-peers is skipped: Python has no %s" % needed)
            sys.exit(77)
    import chat_peer
    import counts_peer
    import models_peer
    import tokenizer_random
    import tokenizers_peer
    folder = sys.argv[-1]
    if sys.argv[1] == "--reload":
        models_peer.reload(folder)
    elif sys.argv[1] == "--small":
        tokenizers_peer.write(folder, 330, 10)
        chat_peer.write(folder, 0)
        models_peer.write(folder, 12)
    else:
        tokenizers_peer.write(folder, 900, 3000)
        tokenizer_random.write(folder, 120, 150)
        chat_peer.write(folder, 400)
        models_peer.write(folder, 48)
        counts_peer.write(folder)


main()
