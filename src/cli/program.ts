import { Command } from 'commander'
import { packageVersion } from '../run/environment.js'
import { addAdopt } from './adopt.js'
import { addAggregate } from './aggregate.js'
import { addConvert } from './convert.js'
import { addDemo } from './demo.js'
import { addDevices } from './devices.js'
import { addDiagnose } from './diagnose.js'
import { addEvaluate } from './evaluate.js'
import { report as tell } from './failure.js'
import { addGenerate } from './generate.js'
import { addInspect } from './inspect.js'
import { addPlan } from './plan.js'
import { addPull, addPush } from './push.js'
import { addReport } from './report.js'
import { addSimulate } from './simulate.js'
import type { Terminal } from './terminal.js'
import { addTrain } from './train.js'
import { addValue } from './value.js'
import { addWithdraw } from './withdraw.js'

/** The whole command line, not yet run. Commander throws instead of ending the process. */
export function makeProgram(terminal: Terminal): Command {
  const program = new Command('oneround')
    .description('federated fine-tuning of language models in one communication round')
    .version(packageVersion())
    .showSuggestionAfterError(true)
    .showHelpAfterError('(oneround --help lists the commands; oneround COMMAND --help shows examples)')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 failure, 2 usage, 130 stopped by Ctrl-C with everything finished so far saved.',
    )
  for (const add of [
    addDemo,
    addDevices,
    addInspect,
    addPlan,
    addTrain,
    addAggregate,
    addWithdraw,
    addEvaluate,
    addGenerate,
    addSimulate,
    addDiagnose,
    addReport,
    addValue,
    addConvert,
    addAdopt,
    addPush,
    addPull,
  ]) {
    add(program, terminal)
  }
  for (const command of [program, ...program.commands]) {
    // Subcommands made by .command() copy these settings only if they were set before, so each is set here.
    command.exitOverride().configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.progress.write(text),
    })
    command.showSuggestionAfterError(true)
  }
  return program
}

/** Runs one command line to its end. @returns the exit code */
export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await makeProgram(terminal).parseAsync([...words], { from: 'user' })
    return 0
  } catch (failure) {
    return tell(failure, terminal)
  }
}
