# gantt-style.gp - lanes as rows, ops as boxes coloured by kind.  Load after style.gp.
lane(name) = name eq "gpu" ? 4 : name eq "d2h" ? 3 : name eq "cpu" ? 2 : 1
kinds = "FWD RECOMPUTE BWD COMPRESS NORM D2H UPD UPD_GPU H2D APPLY SWAP_IN SWAP_OUT PROJECT"
array shade[13] = [sky, 0xBFE0F5, blue, yellow, black, orange, green, 0x66C2A5, red, pink, 0xE8A27C, 0xF2C879, grey]
kind_of(name) = index_in(kinds, name)
# Digits on dark boxes are white: by the brightness that the eye gives red, green and blue.
brightness(colour) = 0.299*((colour >> 16) & 255) + 0.587*((colour >> 8) & 255) + 0.114*(colour & 255)
ink_on(name) = brightness(shade[kind_of(name)]) < 130 ? 0xFFFFFF : 0x202020
# Where iterations end, in ms: the end of the last forward or backward of each, as lspo counts them (traces/summary.h).
iteration_ends(file) = system("awk -F, '$2 ~ /^(FWD|BWD|RECOMPUTE)$/ { if (!($4 in end)) order[++n] = $4; ". \
    "if ($6 > end[$4]) end[$4] = $6 } END { for (i = 1; i <= n; i++) printf \"%.6f \", 1000*end[order[i]] }' '".file."'")
unset grid
set ytics ("GPU" 4, "D2H" 3, "CPU" 2, "H2D" 1) scale 0
set yrange [0.45:4.55]
set style fill solid 1.0 border rgb "white"

# Error bars of a prediction under noise (columns start_low_s ... end_high_s), b = 1 those of the starts, b = 2 of the
# ends.  `barred` says whether the file has them: columns that it lacks must not even be named.
has_bars(file) = system("head -1 '".file."' | grep -c start_low_s") + 0
edge(b) = word("start end", b)."_s"
bound(b, which) = word("start end", b).(barred ? which : "_s")
bar_at(name, b) = lane(name) + (b == 1 ? 0.24 : -0.24)
# Of ops that are too short to be seen they would hang in the air.
has_length(start_s, end_s, axis_ms) = end_s - start_s > 0.008e-3*axis_ms
