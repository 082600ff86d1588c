-- The parts of an iteration in units of zero's: one row per model and policy.
WRITE bars AS SELECT cells.policy || ' ' || cells.model AS label, cells.model, cells.policy,
    cells.gpu_busy_s / zero.iteration_s AS gpu, cells.exposed_comm_s / zero.iteration_s AS exposed_comm,
    cells.exposed_cpu_s / zero.iteration_s AS exposed_cpu, cells.other_s / zero.iteration_s AS other,
    cells.iteration_s / zero.iteration_s AS total
    FROM fig6a AS cells JOIN fig6a AS zero USING (model) WHERE zero.policy = 'zero' ORDER BY cells.rowid;

SELECT printf('  %-10s %-5s %6s %6s %6s %6s %6s', 'model', '', 'GPU', 'comm', 'cpu', 'other', 'total');
SELECT printf('  %-10s %-5s %6.2f %6.2f %6.2f %6.2f %6.2f', model, policy, gpu, exposed_comm, exposed_cpu, other, total)
    FROM bars;
CREATE VIEW cuts AS SELECT 1 - lsp.total AS cut,
    (lsp.exposed_comm + lsp.exposed_cpu) / (zero.exposed_comm + zero.exposed_cpu) AS still
    FROM bars AS lsp JOIN bars AS zero USING (model) WHERE lsp.policy = 'lsp' AND zero.policy = 'zero';
SELECT printf('  lsp cuts %.0f %% of the iteration on average (the paper: 50 %%)', 100 * avg(cut)) FROM cuts;
REQUIRE SELECT every(abs((gpu + exposed_comm + exposed_cpu + other) / total - 1) < 0.02),
    'the four parts add up to the iteration' FROM bars;
REQUIRE SELECT every(cut > 0.25), 'lsp cuts more than a quarter of zero''s iteration for every model' FROM cuts;
REQUIRE SELECT avg(cut) > 0.35 AND avg(cut) < 0.65, 'on average it cuts half, within 15 points' FROM cuts;
REQUIRE SELECT every(still < 0.25), 'lsp exposes less than a quarter of the time that zero exposes' FROM cuts;
