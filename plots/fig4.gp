# Bars: GPU bytes a rank or nonzero against the formula.  Lines: rank of the change against the number of subspaces.
width = 820; height = 380
load plots."/style.gp"
set multiplot layout 1,2
set title "GPU bytes for one more rank (lsp: nonzero a row)"
set style data histograms
set style histogram clustered gap 1.5
set yrange [0:*]
set offsets 0, 0, graph 0.25, 0
set ylabel "KiB"
set key top left Left reverse
plot data."/bytes.csv" using (column("measured")/1024):xtic(1) title "measured" linecolor rgb blue, \
    '' using (column("formula")/1024) title "Table 2, 4 bytes a number" linecolor rgb grey
set title "numerical rank of what training changed"
set ylabel "rank (d = 16, rank 16)"
set offsets 0, 0, 0, 0
set xlabel "number of subspaces"
set xtics 1
set key top left Left reverse
file = data."/mean-rank.csv"
names = "lsp galore lora"
array shade[3] = [blue, orange, green]
plot for [k=1:3] file using (strcol("policy") eq word(names, k) ? column("tau") : NaN):"rank" \
    with linespoints pointtype 5+2*k linewidth 1.6 linecolor rgb shade[k] title word(names, k)
unset multiplot
