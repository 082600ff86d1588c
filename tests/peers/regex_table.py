#!/usr/bin/env python3
"""Write real/tokenizer/regex_table.h: which characters the tokenizers library (Oniguruma) has in a named set beyond
those of Unicode 14, which PCRE2 10.42 has.  Unicode 14 is asked of Perl 5.36.

    python3 tests/peers/regex_table.py > real/tokenizer/regex_table.h     (needs tokenizers, and a perl of Unicode 14)
"""
import subprocess

from tokenizers import Regex, __version__, normalizers

CODES = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
CHUNKS = ["".join(map(chr, CODES[i:i + 1024])) for i in range(0, len(CODES), 1024)]
SCRIPTS = """use Unicode::UCD qw(charscripts);
die unless Unicode::UCD::UnicodeVersion() eq "14.0.0";
my $scripts = charscripts();
for my $name (sort keys %$scripts) { print "$name"; print " $_->[0]-$_->[1]" for @{$scripts->{$name}}; print "\\n"; }"""
PROPERTY = 'for (0x80..0xd7ff, 0xe000..0x10ffff) { print "$_\\n" if chr =~ /\\p{%s}/ }'


def perl(program):
    return subprocess.run(["perl", "-CS", "-e", program], check=True, capture_output=True, text=True).stdout


def scripts():
    """Name and code points of each script."""
    for line in perl(SCRIPTS).splitlines():
        name, *ranges = line.split()
        if name != "Unknown":
            yield name, {code for r in ranges for code in range(int(r.split("-")[0]), int(r.split("-")[1]) + 1)}


def matching(name):
    """None where the library does not know the name."""
    try:
        replace = normalizers.Replace(Regex(r"\P{%s}+" % name), "")
    except Exception:
        return None
    return {ord(c) for chunk in CHUNKS for c in replace.normalize_str(chunk)}


def ranges(codes):
    found = []
    for code in sorted(codes):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return found


def main():
    sets = [(name, {int(code) for code in perl(PROPERTY % name).split()})
            for name in ("Alphabetic", "Lowercase", "Uppercase")]
    items, known, lost = [], [], []
    for name, old in sets + list(scripts()):
        new = matching(name)
        if new is None:
            continue
        plain = name.replace("_", "").replace(" ", "")
        known.append('"%s"' % plain)
        lost += ["%s %x" % (name, code) for code in old - new if code >= 0x80]
        items += ['{"%s", 0x%x, 0x%x}' % (plain, *r) for r in ranges(new - old)]
    assert not lost, lost
    print("/* Made by tests/peers/regex_table.py with tokenizers %s; do not edit. */" % __version__)
    print("#ifndef LSPO_REAL_TOKENIZER_REGEX_TABLE_H\n#define LSPO_REAL_TOKENIZER_REGEX_TABLE_H\n\n"
          "#include <stdint.h>\n")
    print("/* clang-format off */")
    for comment, declaration, entries in (
            ("What is in a set and is not in Unicode 14's: first and last code point of each range.",
             "static const struct { const char *set; uint32_t first, last; } newer_in_set[]", items),
            ("Sets of which this was asked, and scripts.", "static const char *const asked_sets[]", known)):
        print("/* %s */\n%s = {" % (comment, declaration))
        line = "   "
        for item in entries:
            if len(line) + len(item) > 117:
                print(line)
                line = "   "
            line += " " + item + ","
        print(line + "\n};\n")
    print("/* clang-format on */\n\n#endif")


main()
