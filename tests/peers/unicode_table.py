#!/usr/bin/env python3
"""Write real/unicode_table.h: the ranges of letters, numbers and blanks as the tokenizers library's own pattern engine sees them.

    python3 tests/peers/unicode_table.py > real/unicode_table.h     (needs tokenizers)
"""
from tokenizers import Regex, normalizers, __version__


def ranges(pattern):
    replace = normalizers.Replace(Regex(pattern), "")
    found = []
    for code in range(0x80, 0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        if replace.normalize_str(chr(code)) == "":
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return found


def main():
    print("/* Made by tests/peers/unicode_table.py with tokenizers %s; do not edit.  First and last code point of each\n"
          " * range above ASCII, in order. */" % __version__)
    print("#ifndef LSPO_REAL_UNICODE_TABLE_H\n#define LSPO_REAL_UNICODE_TABLE_H\n\n#include <stdint.h>\n")
    print("/* clang-format off */")
    for name, pattern in (("letter", r"\p{L}"), ("number", r"\p{N}"), ("space", r"\s")):
        print("static const uint32_t %s_ranges[][2] = {" % name)
        line = "   "
        for first, last in ranges(pattern):
            item = " {0x%x, 0x%x}," % (first, last)
            if len(line) + len(item) > 118:
                print(line)
                line = "   "
            line += item
        print(line + "\n};\n")
    print("/* clang-format on */\n\n#endif")


main()
