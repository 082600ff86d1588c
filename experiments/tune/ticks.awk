# Labels of the cells, as variables of plot: tick_1=MODEL BLOCKS|RATES|POLICY
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    label = get("label")
    sub(/ /, "|", label)
    gsub(/, |: /, "|", label)
    sub(/B\/s /, "B/s|", label)
    printf "tick_%d=%s|%s\n", FNR - 1, label, get("policy")
}
