# presets.awk - write the table of plan/presets.h: awk -f plan/presets.awk FOLDER/NAME.ini ... in the sources' top.
function quoted(line,   i, c, out) {
    out = ""
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        if (c == "\\" || c == "\"")
            out = out "\\"
        out = out c
    }
    return "\"" out "\\n\""
}
BEGIN {
    print "/* Written by plan/presets.awk from machines/ and models/: change the files there. */"
    print "#include \"plan/presets.h\"\n"
    print "#include <stddef.h>\n"
    print "const lspo_preset_t lspo_presets[] = {"
}
FNR == 1 {
    if (NR > 1)
        print "    },"
    folder = FILENAME
    sub("/[^/]*$", "", folder)
    name = substr(FILENAME, length(folder) + 2)
    sub("[.]ini$", "", name)
    printf "    {\n        \"%s\",\n        \"%s\",\n        \"%s\",\n", folder, name, FILENAME
}
{ print "        " quoted($0) }
END {
    if (NR > 0)
        print "    },"
    print "    {NULL, NULL, NULL, NULL},\n};"
}
