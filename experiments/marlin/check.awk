# paper gains.csv: the speed-ups of weights in 4 bits over those in fp16, on this machine over fp32.
FNR == 1 { file++ }
file == 1 { if ($1 ~ /^[0-9]/) { listed[++count] = $1; authors[$1] = $2; ideal[$1] = $3 } next }
FNR == 1 { csv_header($0); next }
{
    csv_row($0); r = get("rows"); rows[++row_count] = r
    peak[r] = get("peak"); profile[r] = get("profile"); host[r] = get("host")
}
function off(ours, paper) { return 100 * (ours / paper - 1) }

END {
    if (aborted) exit 2
    printf "  a token with weights in 4 bits, speed-up by rows (texts): at the A10's data sheet, with the profile's\n"
    printf "  assumed losses, (the authors' roofline, their measurement), and on this machine over fp32\n"
    for (i = 1; i <= row_count; i++) {
        r = rows[i]
        printf "  %4d  %5.2f  %5.2f  (%4s, %4s)%s\n", r, peak[r], profile[r], r in ideal ? ideal[r] : "-",
            r in authors ? authors[r] : "-", host[r] != "" ? sprintf("   host %5.2f", host[r]) : ""
    }
    for (i = 1; i <= count; i++) {
        r = listed[i]
        if (ideal[r] != "-")
            require(abs(off(peak[r], ideal[r])) <= 5,
                sprintf("%d rows: within 5 %% of the authors' roofline: %+.1f %%", r, off(peak[r], ideal[r])))
        require(abs(off(peak[r], authors[r])) <= 10,
            sprintf("%d rows: within 10 %% of the authors' measurement: %+.1f %%", r, off(peak[r], authors[r])))
    }
    for (i = 1; i < row_count && peak[rows[i]] > 0.9 * peak[1]; i++) ;
    require(rows[i] > 32 && rows[i] <= 64, sprintf("the knee is between 32 and 64 rows: a tenth lost at %d", rows[i]))
    require(host[1] > 3, sprintf("on this machine one text is more than 3 times as fast as in fp32: %.2f", host[1]))
    finish()
}
