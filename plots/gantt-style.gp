# gantt-style.gp - lanes as rows, ops as boxes coloured by kind.  Set `gantt_files` (file names or a shell pattern), then
# load this after style.gp.
# Rows from the bottom: the four lanes of one GPU, then the others of these files in the order in which they appear.
rows = "h2d cpu d2h gpu".system("awk -F, 'FNR > 1 && $1 !~ /^(gpu|d2h|h2d|cpu)$/ && !seen[$1]++ { printf \" %s\", $1 }' ".gantt_files)
lane(name) = index_in(rows, name)
rows_top = words(rows) + 0.55
# Kinds of ops and their colours: those of plan/op.c (tests/plan/test_op.c compares them).
kinds = "FWD RECOMPUTE BWD COMPRESS NORM D2H UPD UPD_GPU H2D APPLY SWAP_IN SWAP_OUT PROJECT SEND READ WRITE SELECT MAP"
array shade[18] = [0x56B4E9, 0xBFE0F5, 0x0072B2, 0xF0E442, 0x000000, 0xE69F00, 0x009E73, 0x66C2A5, 0xD55E00, 0xCC79A7, 0xE8A27C, 0xF2C879, 0x8C8C8C, 0x7F3C8D, 0x8B5A2B, 0xC9A27C, 0x5FD3B0, 0xA6761D]
kind_of(name) = index_in(kinds, name)
# Digits on dark boxes are white, by the perceived brightness of red, green and blue.
brightness(colour) = 0.299*((colour >> 16) & 255) + 0.587*((colour >> 8) & 255) + 0.114*(colour & 255)
ink_on(name) = brightness(shade[kind_of(name)]) < 130 ? 0xFFFFFF : 0x202020
# Where iterations end, in ms: the end of the last forward or backward of each, as lspo counts them (traces/summary.h).
iteration_ends(file) = system("awk -F, '$2 ~ /^(FWD|BWD|RECOMPUTE)$/ { if (!($4 in end)) order[++n] = $4; ". \
    "if ($6 > end[$4]) end[$4] = $6 } END { for (i = 1; i <= n; i++) printf \"%.6f \", 1000*end[order[i]] }' '".file."'")
unset grid
set ytics ("GPU" 4, "D2H" 3, "CPU" 2, "H2D" 1) scale 0
do for [r=5:words(rows)] { set ytics add (word(rows, r) r) }
set yrange [0.45:rows_top]
set style fill solid 1.0 border rgb "white"

# Error bars of a prediction under noise (columns start_low_s ... end_high_s), b = 1 those of the starts, b = 2 of the
# ends.  `barred` tells whether the file has them: gnuplot must not even name missing columns.
has_bars(file) = system("head -1 '".file."' | grep -c start_low_s") + 0
edge(b) = word("start end", b)."_s"
bound(b, which) = word("start end", b).(barred ? which : "_s")
bar_at(name, b) = lane(name) + (b == 1 ? 0.33 : -0.33)
# Not for ops that are too short to be seen.
has_length(start_s, end_s, axis_ms) = end_s - start_s > 0.008e-3*axis_ms
