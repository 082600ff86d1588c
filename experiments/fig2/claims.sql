-- The parts of an iteration in units of GPU time, as published; beside them the paper's totals, and what these are
-- without "other": stated for one bar, whose share of "other", 0.56 of 4.28, is the most that is taken off the others.
WRITE bars AS SELECT published.model, published.machine, 1 AS gpu,
    published.exposed_comm_s / published.gpu_busy_s AS exposed_comm,
    published.exposed_cpu_s / published.gpu_busy_s AS exposed_cpu, published.other_s / published.gpu_busy_s AS other,
    published.iteration_s / published.gpu_busy_s AS total, fp16.iteration_s / fp16.gpu_busy_s AS total_fp16,
    coalesce(published.paper_rest, published.paper_low * (1 - 0.56 / 4.28)) AS rest_low,
    coalesce(published.paper_rest, published.paper_high) AS rest_high, published.paper_low, published.paper_high
    FROM fig2 AS published JOIN fig2 AS fp16 USING (model)
    WHERE published."group" = 'published' AND fp16."group" = '2 bytes per value both ways' ORDER BY fp16.rowid;

-- What is off the range of the paper's totals without "other".
CREATE VIEW rest AS SELECT *, total - other AS ours, CASE WHEN total - other < rest_low
    THEN (total - other) / rest_low - 1 WHEN total - other > rest_high THEN (total - other) / rest_high - 1 ELSE 0 END
    AS off FROM bars;
SELECT printf('  %-10s %-18s %6s %6s %6s %6s   %-17s %s', 'model', 'machine', 'comm', 'cpu', 'other', 'total',
    'paper, no other', 'off by');
SELECT printf('  %-10s %-18s %6.2f %6.2f %6.2f %6.2f   %4.2f to %4.2f      %+5.1f %%', model, machine, exposed_comm,
    exposed_cpu, other, total, rest_low, rest_high, 100 * off) FROM rest;
-- Time per iteration over GPU time, by assumption and model.
CREATE VIEW assumed AS SELECT "group" AS name, model, iteration_s / gpu_busy_s AS total,
    printf('%.2f', iteration_s / gpu_busy_s) AS shown, rowid AS place FROM fig2;
SELECT printf('  %-48s %10s %10s %10s %10s', 'total under the assumption', 'gpt2-774m', 'gpt2-1.3b', 'llama-3b',
    'llama-7b');
SELECT printf('  %-48s %10s %10s %10s %10s', name, coalesce(pick(shown, model = 'gpt2-774m'), '-'),
    coalesce(pick(shown, model = 'gpt2-1.3b'), '-'), coalesce(pick(shown, model = 'llama-3b'), '-'),
    coalesce(pick(shown, model = 'llama-7b'), '-')) FROM assumed GROUP BY name ORDER BY min(place);

REQUIRE SELECT pick(ours, model = 'gpt2-1.3b') > pick(ours, model = 'gpt2-774m'),
    'on the laptop the larger model is slower under zero' FROM rest;
REQUIRE SELECT pick(ours, model = 'llama-7b') > pick(ours, model = 'llama-3b'),
    'workstation: the larger model is the slower under zero' FROM rest;
REQUIRE SELECT every(exposed_comm > 0.1),
    'exposed communication costs every model more than 10 % of its GPU time' FROM bars;
REQUIRE SELECT every(abs((gpu + exposed_comm + exposed_cpu + other) / total - 1) < 0.02),
    'the four parts add up to the iteration' FROM bars;
-- The laptop's profile is data sheets alone and misses its two bars; what would explain them is in docs/validation.md.
REQUIRE SELECT count(*) = 2 AND every(shown + 0 >= 0.8 * rest_low AND shown + 0 <= 1.2 * rest_high),
    'laptop: within 20 % if the GPU did half its sheet and the link 3.5 GB/s, as the authors'' step times ask for too'
    FROM assumed JOIN rest USING (model) WHERE name LIKE 'half the GPU and %';
REQUIRE SELECT every(abs(off) <= 0.2), 'workstation: totals without "other" within 20 % of the paper''s' FROM rest
    WHERE model IN ('llama-3b', 'llama-7b');
