# Lines: slowdown against the link, one line per policy of `table`.
width = 520; height = 340
load plots."/style.gp"
set title note
set xlabel "link, GB/s"
set ylabel "slowdown"
set logscale x 2
set yrange [0:*]
set key top right
shown = "zero lsp"
plot for [i=1:words(shown)] data."/".table using (strcol("policy") eq word(shown, i) ? 1e-9*column("link_Bps") : NaN):\
    "slowdown" with linespoints linewidth 1.6 linecolor rgb colour_of(word(shown, i)) \
    pointtype mark_of(word(shown, i)) title word(shown, i)
