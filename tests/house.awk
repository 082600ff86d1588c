# house.awk - what tests/test_house.sh counts in C sources that clang-format has laid out: a function's body begins with
# "{" and ends with "}", each alone in the first column.  One line per finding, FILE:LINE: KIND NUMBER NAME, of a KIND:
#   lines        of a function, from its name to its end
#   parameters   of a function that is defined there, but for CUDA kernels and the names in `exempt`: NAME or FILE:NAME
#   columns      of a line of source, in characters of UTF-8

BEGIN { split(exempt, names, " "); for (i in names) is_exempt[names[i]] = 1 }
FNR == 1 { head = ""; body = 0 }
{
    text = wide = $0
    gsub(/[\200-\277]/, "", wide)
    if (length(wide) > columns_most) print FILENAME ":" FNR ": columns " length(wide) " -"
}
text == "{" && head != "" {
    body = 1
    # The parameters are the last list in the head: attributes and names made by macros have lists of their own.
    depth = 0; open_at = 0; close_at = 0
    for (i = 1; i <= length(head); i++) {
        c = substr(head, i, 1)
        if (c == "(" && depth++ == 0) open_at = i
        else if (c == ")" && --depth == 0) close_at = i
    }
    list = substr(head, open_at + 1, close_at - open_at - 1)
    name = substr(head, 1, open_at - 1)
    gsub(/[()]/, " ", name)
    sub(/ +$/, "", name)
    sub(/.*[ *]/, "", name)
    # A list with pointers to functions counts by its outer commas.
    depth = 0; count = list ~ /^ *(void)? *$/ ? 0 : 1
    for (i = 1; i <= length(list); i++) {
        c = substr(list, i, 1)
        if (c == "(") depth++
        else if (c == ")") depth--
        else if (c == "," && depth == 0) count++
    }
    if (head ~ /__global__/) count = 0 # a CUDA kernel takes its arrays and sizes one by one
    if (count > parameters_most && !(name in is_exempt) && !((FILENAME ":" name) in is_exempt))
        print FILENAME ":" begin ": parameters " count " " name
    next
}
text == "}" && body {
    if (FNR - begin + 1 > lines_most) print FILENAME ":" begin ": lines " FNR - begin + 1 " " name
    body = 0; head = ""
    next
}
!body {
    if (text ~ /^[A-Za-z_]/ && text !~ /;[ \t]*$/ && text !~ /^(typedef|struct|enum|union|#)/) {
        head = text; begin = FNR
    }
    else if (head != "" && text ~ /^[ \t]+[^ \t]/ && text !~ /;[ \t]*$/) head = head " " text
    else if (text !~ /^[ \t]*(\/\*|\*|$)/) head = ""
}
