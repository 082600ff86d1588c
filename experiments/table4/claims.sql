-- The held-out loss of answers, as means over the seeds, beside the paper's passes of HumanEval-X.
WRITE table4 AS SELECT method, count(*) AS seeds, avg(steps) AS steps, avg(held_out_before) AS held_out_before,
    avg(held_out_after) AS held_out_after, exp(avg(held_out_after)) AS perplexity FROM code GROUP BY method
    ORDER BY min(rowid);
SELECT printf('  %-13s %5s %5s %10s   %s', 'at this scale', 'seeds', 'steps', 'perplexity', 'HumanEval-X in the paper');
SELECT printf('  %-13s %5d %5d %10.3f   %.1f %%', table4.method, seeds, steps, perplexity, humaneval_x)
    FROM table4 JOIN paper USING (method);
SELECT printf('  perplexity of answers before: %.1f', exp(max(held_out_before))) FROM table4;
REQUIRE SELECT count(DISTINCT method) = 4, 'all methods were trained' FROM table4;
REQUIRE SELECT every(held_out_after < 0.7 * held_out_before),
    printf('every method learns from the instructions (the loss falls by %.0f %% at least)',
    100 * min(1 - held_out_after / held_out_before)) FROM table4;
CREATE VIEW q AS SELECT pick(held_out_after, method = 'lsp') AS lsp, pick(held_out_after, method = 'full') AS "full",
    pick(held_out_after, method = 'lora') AS lora, pick(held_out_after, method = 'galore') AS galore FROM table4;
OBSERVE SELECT lsp <= "full", printf('lsp ends at or below full fine-tuning after the same time, as in the paper ' ||
    '(45.6 against 45.5 %%); here, at this scale, the losses are %.3f and %.3f', lsp, "full") FROM q;
OBSERVE SELECT lsp < lora AND lsp < galore, printf('lsp ends below lora and galore, as in the paper; here, at this ' ||
    'scale, the losses are %.3f, %.3f and %.3f', lsp, lora, galore) FROM q;
