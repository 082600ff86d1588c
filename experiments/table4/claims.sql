-- The held-out loss of answers, as means over the seeds, beside the paper's passes of HumanEval-X.
WRITE table4 AS SELECT method, count(*) AS seeds, avg(steps) AS steps, avg(held_out_before) AS held_out_before,
    avg(held_out_after) AS held_out_after, exp(avg(held_out_after)) AS perplexity FROM code GROUP BY method
    ORDER BY min(rowid);
SELECT printf('  %-13s %5s %5s %10s   %s', 'at this scale', 'seeds', 'steps', 'perplexity', 'HumanEval-X in the paper');
SELECT printf('  %-13s %5d %5d %10.3f   %.1f %%', table4.method, seeds, steps, perplexity, humaneval_x)
    FROM table4 JOIN paper USING (method);
SELECT printf('  perplexity of answers before: %.1f', exp(max(held_out_before))) FROM table4;
REQUIRE SELECT count(DISTINCT method) = 4, 'all methods were trained' FROM table4;
CREATE VIEW falls AS SELECT method, avg(fall) AS mean, low95(fall) AS low, high95(fall) AS high, count(fall) AS seeds
    FROM (SELECT method, 100 * (1 - held_out_after / held_out_before) AS fall FROM code) GROUP BY method;
-- The interval is that of the least fall; if another method falls short for certain, there is no limit.
REQUIRE SELECT every(mean > 30),
    printf('every method learns from the instructions (the loss falls by %.0f %% at least, of %s)', min(mean), method),
    low, high, seeds, iif(every(mean > 30 OR undecided(low, high, seeds, 30)), 30, NULL), '%' FROM falls;
-- How far lsp ends above the others, in percent of their loss, over the seeds that both have.
CREATE VIEW over AS SELECT theirs.method AS theirs, avg(lsp.held_out_after) AS loss,
    avg(theirs.held_out_after) AS their_loss,
    100 * low95(lsp.held_out_after / theirs.held_out_after - 1) AS low,
    100 * high95(lsp.held_out_after / theirs.held_out_after - 1) AS high,
    count(lsp.held_out_after / theirs.held_out_after) AS seeds
    FROM code AS lsp JOIN code AS theirs USING (seed) WHERE lsp.method = 'lsp' GROUP BY theirs.method;
OBSERVE SELECT loss <= their_loss, printf('lsp ends at or below full fine-tuning after the same time, as in the ' ||
    'paper (45.6 against 45.5 %%); here, at this scale, the losses are %.3f and %.3f (%+.1f %%)', loss, their_loss,
    100 * (loss / their_loss - 1)), low, high, seeds, 0, '%' FROM over WHERE theirs = 'full';
OBSERVE SELECT loss < their_loss, printf('lsp ends below %s, as in the paper; here, at this scale, the losses are ' ||
    '%.3f and %.3f (%+.1f %%)', theirs, loss, their_loss, 100 * (loss / their_loss - 1)), low, high, seeds, 0, '%'
    FROM over WHERE theirs IN ('lora', 'galore') ORDER BY theirs DESC;
