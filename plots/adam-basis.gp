# Held-out loss against full fine-tuning with Adam: a row for each method, a mark for each number of steps, bars over
# the seeds; a panel for each base.  recorded.csv is the recorded full run, here.csv this machine's.
width = 1080; height = 500
load plots."/style.gp"
names = "full rest lsp-plain lsp-learned-plain lsp lsp-learned soap lora-plain lora galore-plain galore"
titles = "'full, Adam' 'rest only' 'lsp random, Adam' 'lsp learned, Adam' 'lsp random, eigen' 'lsp learned, eigen' 'full, eigen (SOAP)' 'lora, Adam' 'lora, eigen' 'galore, Adam' 'galore, eigen'"
bases = "tiny-250 tiny-2000 small-1000"
base_titles = "'gpt-tiny, pretrained 250 steps' 'gpt-tiny, 2,000 steps' 'gpt-small, 1,000 steps'"
all_steps = "90 300 800"
count = words(names)
row(method) = count - index_in(names, method)
set yrange [-0.6:count-0.4]
set grid xtics ytics linecolor rgb "#e0e0e0" linetype 1 linewidth 0.6
array colours[3] = [sky, blue, black]
array marks[3] = [7, 5, 9]
recorded = data."/recorded.csv"; here = data."/here.csv"
wanted(base, steps) = strcol("base") eq base && column("steps") == steps
# Marks of one method one above the other.
place(k) = row(strcol("method")) + (2-k)*0.22
set xlabel "against full fine-tuning with Adam (%)"
set bmargin at screen 0.30; set tmargin at screen 0.86
set multiplot title note
set key at screen 0.56, screen 0.10 center center vertical maxrows 4 Left reverse
do for [b=1:3] {
    set lmargin at screen 0.14 + 0.29*(b-1); set rmargin at screen 0.14 + 0.29*(b-1) + 0.26
    set title word(base_titles, b)
    if (b == 1) { set for [k=1:count] ytics add (word(titles, k) count-k) } else { set for [k=1:count] ytics add ("" count-k); unset key }
    plot for [k=1:3] recorded using (wanted(word(bases, b), word(all_steps, k)+0) ? 100*column("relative") : NaN):(place(k)): \
            (100*column("relative_low")):(100*column("relative_high")) with xerrorbars pointtype marks[k] pointsize 0.7 \
            linecolor rgb colours[k] title word(all_steps, k)." steps, three seeds", \
        here using (wanted(word(bases, b), 90) ? 100*column("relative") : NaN):(place(1)) with points pointtype 6 pointsize 1.5 \
            linecolor rgb red title "90 steps, one seed, here"
}
unset multiplot
