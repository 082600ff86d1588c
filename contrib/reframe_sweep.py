# A sweep as a check of ReFrame: all cells are predicted, and the row of each policy is a figure of merit.
#
#     reframe -c reframe_sweep.py -r          # lspo on PATH
import json
import os

import reframe as rfm
import reframe.utility.sanity as sn


@rfm.simple_test
class LspoSweep(rfm.RunOnlyRegressionTest):
    descr = 'slowdown of policies against native training, by lspo sweep'
    valid_systems = ['*']
    valid_prog_environs = ['*']
    sourcesdir = None
    executable = 'lspo'
    executable_opts = ['sweep', 'sweep.ini', '-o', 'rows.jsonl', '--columns', 'policy,slowdown,error']
    grid = ['[all]', 'model = llama-7b', 'machine = rtx4090', 'policy = native zero lsp']
    prerun_cmds = [f"printf '%s\\n' {' '.join(repr(line) for line in grid)} > sweep.ini"]

    def rows(self):
        with open(os.path.join(self.stagedir, 'rows.jsonl')) as lines:
            return [json.loads(line) for line in lines]

    @sanity_function
    def all_cells(self):
        return sn.all([sn.assert_eq(len(self.rows()), 3),
                       sn.assert_eq([row['error'] for row in self.rows()], [None] * 3)])

    @run_before('performance')
    def figures(self):
        self.perf_variables = {row['policy']: sn.make_performance_function(sn.defer(row['slowdown']), 'x')
                               for row in self.rows()}
