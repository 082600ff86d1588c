# Bars: GPU bytes per rank or nonzero against the formula.  Lines: rank of the change against the number of subspaces.
width = 980; height = 400
load plots."/style.gp"
set multiplot layout 1,2
set title "GPU bytes per rank (lsp: per nonzero of a row)\n".memory_note
# The colours of the bars are no policy's.
set style data histograms
set style histogram clustered gap 1.5
set yrange [0:*]
set offsets 0, 0, graph 0.25, 0
set ylabel "KiB"
set key top left Left reverse
plot data."/bytes.csv" using (column("measured")/1024):xtic(1) title "measured" linecolor rgb 0x4A5568, \
    '' using (column("formula")/1024) title "Table 2, 4 bytes per number" linecolor rgb 0xC8CDD3
set title "numerical rank of what training changed\n".rank_note
set ylabel "rank"
set offsets 0, 0, 0, 0
set xlabel "number of subspaces"
set xtics 1
set key top left Left reverse
file = data."/mean_rank.csv"
names = "lsp galore lora"
plot for [k=1:3] file using (strcol("policy") eq word(names, k) ? column("tau") : NaN):"rank" \
    with linespoints pointtype mark_of(word(names, k)) linewidth 1.6 linecolor rgb colour_of(word(names, k)) title word(names, k)
unset multiplot
