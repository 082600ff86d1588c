# The learning rate at which `method` ends lowest on `base` after 90 steps with seed 1.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    if (get("base") == base && get("method") == method && get("steps") == 90 && get("seed") == 1 &&
        (best == "" || get("held_out_after") < lowest)) {
        lowest = get("held_out_after")
        best = csv_fields[csv_column["learning_rate"]] # as it is written
    }
}
END {
    if (aborted || best == "") exit 2
    print best
}
