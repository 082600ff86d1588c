# Clustered bars: throughput of each system over that of native training, by model.
width = 840; height = 400
load plots."/style.gp"
set style data histograms
set style histogram clustered gap 1.5
set boxwidth 0.92
set ylabel "throughput / throughput of native"
set yrange [0:*]
set key outside right top vertical Left reverse width -2
set xrange [-0.6:3.6]
set title "Throughput, simulated: higher is faster"
file = data."/table.csv"
# zero, zero-layerwise; lsp and lsp-paper at d = 2048, 1024, 512, 256; native: lsp-paper in greys.
array shade[11] = ["#909090", sky, red, orange, yellow, pink, "#505050", "#787878", "#a0a0a0", "#c8c8c8", blue]
set arrow from graph 0, first 1 to graph 1, first 1 nohead linecolor rgb "#606060" dashtype 2 front
plot for [i=2:12] file using i:xtic(1) title columnheader(i) linecolor rgb shade[i-1]
