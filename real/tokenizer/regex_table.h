/* Made by tests/peers/regex_table.py with tokenizers 0.23.3; do not edit. */
#ifndef LSPO_REAL_TOKENIZER_REGEX_TABLE_H
#define LSPO_REAL_TOKENIZER_REGEX_TABLE_H

#include <stdint.h>

/* clang-format off */
/* What is in a set and is not in Unicode 14's: first and last code point of each range. */
static const struct { const char *set; uint32_t first, last; } newer_in_set[] = {
    {"Alphabetic", 0x363, 0x36f}, {"Alphabetic", 0x897, 0x897}, {"Alphabetic", 0xc04, 0xc04},
    {"Alphabetic", 0xcf3, 0xcf3}, {"Alphabetic", 0xf82, 0xf83}, {"Alphabetic", 0x1c89, 0x1c8a},
    {"Alphabetic", 0x1dd3, 0x1de6}, {"Alphabetic", 0xa7cb, 0xa7cd}, {"Alphabetic", 0xa7da, 0xa7dc},
    {"Alphabetic", 0x105c0, 0x105f3}, {"Alphabetic", 0x10d4a, 0x10d65}, {"Alphabetic", 0x10d69, 0x10d69},
    {"Alphabetic", 0x10d6f, 0x10d85}, {"Alphabetic", 0x10ec2, 0x10ec4}, {"Alphabetic", 0x10efc, 0x10efc},
    {"Alphabetic", 0x11080, 0x11081}, {"Alphabetic", 0x1123f, 0x11241}, {"Alphabetic", 0x11380, 0x11389},
    {"Alphabetic", 0x1138b, 0x1138b}, {"Alphabetic", 0x1138e, 0x1138e}, {"Alphabetic", 0x11390, 0x113b5},
    {"Alphabetic", 0x113b7, 0x113c0}, {"Alphabetic", 0x113c2, 0x113c2}, {"Alphabetic", 0x113c5, 0x113c5},
    {"Alphabetic", 0x113c7, 0x113ca}, {"Alphabetic", 0x113cc, 0x113cd}, {"Alphabetic", 0x113d1, 0x113d1},
    {"Alphabetic", 0x113d3, 0x113d3}, {"Alphabetic", 0x11bc0, 0x11be0}, {"Alphabetic", 0x11f00, 0x11f10},
    {"Alphabetic", 0x11f12, 0x11f3a}, {"Alphabetic", 0x11f3e, 0x11f40}, {"Alphabetic", 0x1342f, 0x1342f},
    {"Alphabetic", 0x13441, 0x13446}, {"Alphabetic", 0x13460, 0x143fa}, {"Alphabetic", 0x16100, 0x1612e},
    {"Alphabetic", 0x16d40, 0x16d6c}, {"Alphabetic", 0x18cff, 0x18cff}, {"Alphabetic", 0x1b132, 0x1b132},
    {"Alphabetic", 0x1b155, 0x1b155}, {"Alphabetic", 0x1df25, 0x1df2a}, {"Alphabetic", 0x1e030, 0x1e06d},
    {"Alphabetic", 0x1e08f, 0x1e08f}, {"Alphabetic", 0x1e4d0, 0x1e4eb}, {"Alphabetic", 0x1e5d0, 0x1e5ed},
    {"Alphabetic", 0x1e5f0, 0x1e5f0}, {"Alphabetic", 0x2b739, 0x2b739}, {"Alphabetic", 0x2ebf0, 0x2ee5d},
    {"Alphabetic", 0x31350, 0x323af}, {"Lowercase", 0x10fc, 0x10fc}, {"Lowercase", 0x1c8a, 0x1c8a},
    {"Lowercase", 0xa7cd, 0xa7cd}, {"Lowercase", 0xa7db, 0xa7db}, {"Lowercase", 0xa7f2, 0xa7f4},
    {"Lowercase", 0xab69, 0xab69}, {"Lowercase", 0x10d70, 0x10d85}, {"Lowercase", 0x1df25, 0x1df2a},
    {"Lowercase", 0x1e030, 0x1e06d}, {"Uppercase", 0x1c89, 0x1c89}, {"Uppercase", 0xa7cb, 0xa7cc},
    {"Uppercase", 0xa7da, 0xa7da}, {"Uppercase", 0xa7dc, 0xa7dc}, {"Uppercase", 0x10d50, 0x10d65},
    {"Arabic", 0x897, 0x897}, {"Arabic", 0x10ec2, 0x10ec4}, {"Arabic", 0x10efc, 0x10eff}, {"Balinese", 0x1b4e, 0x1b4f},
    {"Balinese", 0x1b7f, 0x1b7f}, {"Common", 0x2427, 0x2429}, {"Common", 0x2ffc, 0x2fff}, {"Common", 0x31e4, 0x31e5},
    {"Common", 0x31ef, 0x31ef}, {"Common", 0x1cc00, 0x1ccf9}, {"Common", 0x1cd00, 0x1ceb3},
    {"Common", 0x1d2c0, 0x1d2d3}, {"Common", 0x1f6dc, 0x1f6dc}, {"Common", 0x1f774, 0x1f776},
    {"Common", 0x1f77b, 0x1f77f}, {"Common", 0x1f7d9, 0x1f7d9}, {"Common", 0x1f8b2, 0x1f8bb},
    {"Common", 0x1f8c0, 0x1f8c1}, {"Common", 0x1fa75, 0x1fa77}, {"Common", 0x1fa87, 0x1fa89},
    {"Common", 0x1fa8f, 0x1fa8f}, {"Common", 0x1faad, 0x1faaf}, {"Common", 0x1fabb, 0x1fabf},
    {"Common", 0x1fac6, 0x1fac6}, {"Common", 0x1face, 0x1facf}, {"Common", 0x1fada, 0x1fadc},
    {"Common", 0x1fadf, 0x1fadf}, {"Common", 0x1fae8, 0x1fae9}, {"Common", 0x1faf7, 0x1faf8},
    {"Common", 0x1fbcb, 0x1fbef}, {"Cyrillic", 0x1c89, 0x1c8a}, {"Cyrillic", 0x1e030, 0x1e06d},
    {"Cyrillic", 0x1e08f, 0x1e08f}, {"Devanagari", 0x11b00, 0x11b09}, {"Egyptianhieroglyphs", 0x1342f, 0x1342f},
    {"Egyptianhieroglyphs", 0x13439, 0x13455}, {"Egyptianhieroglyphs", 0x13460, 0x143fa}, {"Han", 0x2b739, 0x2b739},
    {"Han", 0x2ebf0, 0x2ee5d}, {"Han", 0x31350, 0x323af}, {"Hiragana", 0x1b132, 0x1b132}, {"Kannada", 0xcf3, 0xcf3},
    {"Katakana", 0x1b155, 0x1b155}, {"Khitansmallscript", 0x18cff, 0x18cff}, {"Khojki", 0x1123f, 0x11241},
    {"Lao", 0xece, 0xece}, {"Latin", 0xa7cb, 0xa7cd}, {"Latin", 0xa7da, 0xa7dc}, {"Latin", 0x1df25, 0x1df2a},
    {"Myanmar", 0x116d0, 0x116e3},
};

/* Sets of which this was asked, and scripts. */
static const char *const asked_sets[] = {
    "Alphabetic", "Lowercase", "Uppercase", "Adlam", "Ahom", "Anatolianhieroglyphs", "Arabic", "Armenian", "Avestan",
    "Balinese", "Bamum", "Bassavah", "Batak", "Bengali", "Bhaiksuki", "Bopomofo", "Brahmi", "Braille", "Buginese",
    "Buhid", "Canadianaboriginal", "Carian", "Caucasianalbanian", "Chakma", "Cham", "Cherokee", "Chorasmian", "Common",
    "Coptic", "Cuneiform", "Cypriot", "Cyprominoan", "Cyrillic", "Deseret", "Devanagari", "Divesakuru", "Dogra",
    "Duployan", "Egyptianhieroglyphs", "Elbasan", "Elymaic", "Ethiopic", "Georgian", "Glagolitic", "Gothic", "Grantha",
    "Greek", "Gujarati", "Gunjalagondi", "Gurmukhi", "Han", "Hangul", "Hanifirohingya", "Hanunoo", "Hatran", "Hebrew",
    "Hiragana", "Imperialaramaic", "Inherited", "Inscriptionalpahlavi", "Inscriptionalparthian", "Javanese", "Kaithi",
    "Kannada", "Katakana", "Kayahli", "Kharoshthi", "Khitansmallscript", "Khmer", "Khojki", "Khudawadi", "Lao",
    "Latin", "Lepcha", "Limbu", "Lineara", "Linearb", "Lisu", "Lycian", "Lydian", "Mahajani", "Makasar", "Malayalam",
    "Mandaic", "Manichaean", "Marchen", "Masaramgondi", "Medefaidrin", "Meeteimayek", "Mendekikakui",
    "Meroiticcursive", "Meroitichieroglyphs", "Miao", "Modi", "Mongolian", "Mro", "Multani", "Myanmar", "Nabataean",
    "Nandinagari", "Newtailue", "Newa", "Nko", "Nushu", "Nyiakengpuachuehmong", "Ogham", "Olchiki", "Oldhungarian",
    "Olditalic", "Oldnortharabian", "Oldpermic", "Oldpersian", "Oldsogdian", "Oldsoutharabian", "Oldturkic",
    "Olduyghur", "Oriya", "Osage", "Osmanya", "Pahawhhmong", "Palmyrene", "Paucinhau", "Phagspa", "Phoenician",
    "Psalterpahlavi", "Rejang", "Runic", "Samaritan", "Saurashtra", "Sharada", "Shavian", "Siddham", "SignWriting",
    "Sinhala", "Sogdian", "Sorasompeng", "Soyombo", "Sundanese", "Sylotinagri", "Syriac", "Tagalog", "Tagbanwa",
    "Taile", "Taitham", "Taiviet", "Takri", "Tamil", "Tangsa", "Tangut", "Telugu", "Thaana", "Thai", "Tibetan",
    "Tifinagh", "Tirhuta", "Toto", "Ugaritic", "Vai", "Vithkuqi", "Wancho", "Warangciti", "Yezidi", "Yi",
    "Zanabazarsquare",
};

/* clang-format on */

#endif
