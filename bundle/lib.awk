# lib.awk - CSV columns by name, on machines without SQLite, which `lspo sql` needs.
#
#   FNR == 1 { csv_header($0); next }
#   { csv_row($0); print get("policy"), get("iteration_s") }
#   END { finish() }

BEGIN { CONVFMT = "%.9g" }

# Fields of a CSV line, quotes taken off; returns their number.
function csv_split(line, fields,    count, text, quoted, i, c) {
    if (index(line, "\"") == 0) return split(line, fields, ",")
    split("", fields)
    count = 1
    for (i = 1; i <= length(line); i++) {
        c = substr(line, i, 1)
        if (c == "\"" && quoted && substr(line, i + 1, 1) == "\"") { text = text c; i++ }
        else if (c == "\"") quoted = !quoted
        else if (c == "," && !quoted) { fields[count++] = text; text = "" }
        else text = text c
    }
    fields[count] = text
    return count
}

function csv_header(line,    names, count, i) {
    split("", csv_column)
    count = csv_split(line, names)
    for (i = 1; i <= count; i++) if (!(names[i] in csv_column)) csv_column[names[i]] = i
}

function csv_row(line) { csv_split(line, csv_fields) }

function has(name) { return name in csv_column }

# Numbers are returned as numbers, so that comparisons are numeric even if the row has quoted text.
function get(name,    value) {
    if (!(name in csv_column)) {
        printf "%s: there is no column %s\n", FILENAME, name > "/dev/stderr"
        aborted = 1
        exit 2
    }
    value = csv_fields[csv_column[name]]
    return value ~ /^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$/ ? value + 0 : value
}

# At the end of END: a column that was not there is exit status 2.
function finish() {
    if (aborted) exit 2
}

function abs(x) { return x < 0 ? -x : x }

# Median of values[1..count], which it sorts.
function median(values, count,    i, j, v) {
    for (i = 2; i <= count; i++) {
        v = values[i]
        for (j = i - 1; j >= 1 && values[j] > v; j--) values[j + 1] = values[j]
        values[j + 1] = v
    }
    return count % 2 ? values[(count + 1) / 2] : (values[count / 2] + values[count / 2 + 1]) / 2
}
