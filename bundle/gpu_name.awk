# The name of a GPU among what `lspo list devices` prints: -v device=cuda:N
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    description = get("description")
    sub(/, .*/, "", description)
    if (get("name") == device) print description
}
