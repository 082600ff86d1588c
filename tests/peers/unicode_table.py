#!/usr/bin/env python3
"""Write real/tokenizer/unicode_table.h: where the Unicode tables of the tokenizers library are of another age than
those of utf8proc and PCRE2.  Its parts were made from Unicode 8, 9, 16 and 17; what they make of each code point is
asked of the library itself.

    python3.11 tests/peers/unicode_table.py > real/tokenizer/unicode_table.h

It needs tokenizers, and a Python of Unicode 14.
"""
import sys
import unicodedata

from tokenizers import Regex, __version__, normalizers, pre_tokenizers

CODES = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cf".split()


def matching(pattern):
    replace = normalizers.Replace(Regex(pattern), "")
    return {code for code in CODES if replace.normalize_str(chr(code)) == ""}


def ranges(codes):
    found = []
    for code in sorted(codes):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def show(comment, declaration, items):
    if comment not in declaration:
        print("/* %s */" % comment)
    print("%s = {" % declaration)
    line = "   "
    for item in items:
        if len(line) + len(item) > 117:
            print(line)
            line = "   "
        line += " " + item + ","
    print(line + "\n};\n")


def pairs(codes):
    return ["{0x%x, 0x%x}" % tuple(r) for r in ranges(codes)]


def main():
    assert unicodedata.unidata_version.startswith("14."), "newer than Unicode 14 is what Python calls unassigned"
    category = {code: unicodedata.category(chr(code)) for code in CODES}
    newer, newer_items = set(), []
    for name in CATEGORIES:
        codes = {code for code in matching(r"\p{%s}" % name) if category[code] == "Cn"}
        for code in codes:
            category[code] = name
        newer |= codes
        newer_items += [(r[0], "{0x%x, 0x%x, UTF8PROC_CATEGORY_%s}" % (r[0], r[1], name.upper()))
                        for r in ranges(codes)]
    lower = normalizers.Lowercase()
    moves = []
    for code in CODES:
        text = lower.normalize_str(chr(code))
        if unicodedata.category(chr(code)) == "Cn" and text != chr(code):
            moves.append("{0x%x, 0x%x}" % (code, ord(text)))
    strip = normalizers.StripAccents()
    stripped = {c for c in CODES if strip.normalize_str("a" + chr(c)) == "a"}
    nfkd = normalizers.NFKD()
    whole = {c for c in CODES if unicodedata.normalize("NFKD", chr(c)) != chr(c)
             and nfkd.normalize_str(chr(c)) == chr(c)}
    bert = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
    nonspacing = {c for c in CODES if bert.normalize_str("a" + chr(c)) == "a"}
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False,
                                       lowercase=False)
    invisible = {c for c in CODES if c != 0xFFFD and clean.normalize_str("a" + chr(c)) == "a"}
    punctuation, digits = pre_tokenizers.Punctuation(), pre_tokenizers.Digits()
    points = {c for c in CODES if len(punctuation.pre_tokenize_str("a" + chr(c))) == 2}
    numbers = {c for c in CODES if len(digits.pre_tokenize_str("a" + chr(c))) == 2}

    def of(*names):
        return {c for c in CODES if category[c] in names or category[c][0] in names}

    print("/* Made by tests/peers/unicode_table.py with tokenizers %s; do not edit.  First and last code point of "
          "each\n * range, in order. */" % __version__)
    print("#ifndef LSPO_REAL_TOKENIZER_UNICODE_TABLE_H\n#define LSPO_REAL_TOKENIZER_UNICODE_TABLE_H\n\n"
          "#include <stdint.h>\n#include <utf8proc.h>\n")
    print("/* clang-format off */")
    show("Assigned after Unicode 14.",
         "static const struct { uint32_t first, last; utf8proc_category_t category; } newer[]",
         [item for _, item in sorted(newer_items)])
    show("Capitals among these, and their small letters.", "static const uint32_t newer_lower[][2]", moves)
    table = "static const uint32_t %s[][2]"
    show("Normalisation knows them neither as marks nor as composed.", table % "unknown_to_normalisation",
         pairs((of("M") - stripped | whole) - newer))
    print("/* Where the answer is not the one of the general category. */\n")
    for name, ours, theirs in (("other_marks", of("M"), stripped), ("other_nonspacing", of("Mn"), nonspacing),
                               ("other_invisible", of("Cc", "Cf", "Co"), invisible),
                               ("other_punctuation", of("P"), points),
                               ("other_numbers", of("N"), numbers)):
        show(name, table % name, pairs(ours ^ theirs))
    print("/* clang-format on */\n\n#endif")


main()
