/** The public API: everything a program needs, nothing else. */
export { type Adapter, type AdapterLayer, type Layer, makeAdapter } from './adapter/adapter.js'
export { type Conversion, type ConvertOptions, convert, type Target } from './adapter/convert.js'
export type { DenseDelta } from './adapter/dense.js'
export { loadAdapter } from './adapter/folder.js'
export { exportOnnx, type OnnxExport, type OnnxOptions } from './adapter/onnx/export.js'
export { loadPeft, savePeft } from './adapter/peft.js'
export {
  type Aggregate,
  type AggregateMethod,
  type Aggregator,
  type AggregatorOptions,
  type FinishOptions,
  type Keep,
  openAggregator,
  type RankRule,
} from './aggregate/aggregator.js'
export { chooseLambda, type LambdaChoice } from './aggregate/choose-lambda.js'
export { averageFiles, type FileMeanOptions } from './aggregate/file-mean.js'
export { type Gram, gram, squaredDistances } from './aggregate/gram.js'
export { type LayerWeights, learnLayerWeights } from './aggregate/learn-layer-weights.js'
export type { ClientStatistics } from './aggregate/statistics.js'
export { type MethodFacts, methodTable } from './aggregate/table.js'
export type { DataOptions, Dataset, Example } from './data/dataset.js'
export { loadExamples } from './data/load.js'
export { type DiagnoseOptions, diagnose } from './diagnose/diagnose.js'
export { type LossesMessage, makeLosses, readLosses, writeLosses } from './diagnose/losses-file.js'
export { type Replicate, type ReplicateOptions, replicate } from './diagnose/replicate.js'
export type { Diagnosis, Known, Unknown, Verdict } from './diagnose/types.js'
export { type ErrorCode, OneroundError } from './errors.js'
export type { ChoiceQuestion } from './evaluate/choice.js'
export { evaluate, type Task } from './evaluate/evaluate.js'
export type { ExactOptions, ExactQuestion } from './evaluate/exact.js'
export { type GenerateOptions, generate } from './evaluate/generate.js'
export type { TextEnd } from './evaluate/generator.js'
export type { EvaluateOptions, Score } from './evaluate/loss.js'
export { slidingPerplexity, type WindowOptions } from './evaluate/perplexity.js'
export type { Arm, ArmName } from './federation/arms.js'
export { type ClosedFiles, type CloseFilesOptions, closeFiles } from './federation/by-file/close.js'
export { type FileVisit, type FileVisitOptions, type SavedVisit, visit } from './federation/by-file/visit.js'
export type { Conditions } from './federation/participation.js'
export { type Closed, closeRound } from './federation/server.js'
export { type SimulateOptions, simulate } from './federation/simulate.js'
export { closeStateRound, type StateRound } from './federation/state-round.js'
export { type ValuedRun, type ValueRunOptions, valueRun } from './federation/value-run.js'
export { type Withdrawal, withdrawFromRun, withdrawFromState } from './federation/withdraw.js'
export { type Model, openModel } from './model/open.js'
export { readSafetensorsHeader } from './model/safetensors.js'
export type { ModelSpec } from './model/spec.js'
export { openRuntime } from './runtime/open.js'
export type {
  GenerateRequest,
  Likelihood,
  RequestOptions,
  Runtime,
  RuntimeKind,
  RuntimeOptions,
} from './runtime/runtime.js'
export type { EvaluationRecord } from './train/evaluations.js'
export { type FisherStatistic, measureFisher } from './train/fisher.js'
export type { JobOptions, Progress } from './train/job.js'
export type { MemoryNotice } from './train/memory.js'
export { measureRegMean, type RegMeanStatistic } from './train/regmean.js'
export { type Start, startOfRound } from './train/start.js'
export { type TrainJobOptions, train } from './train/train.js'
export { type AdoptOptions, adopt } from './update/adopt.js'
export { checkUpdate } from './update/checks.js'
export { createPlan, type PlanOptions } from './update/create-plan.js'
export {
  type Method,
  type Plan,
  parsePlan,
  planSha256,
  readPlan,
  type Trainable,
  type TrainOptions,
  type Weights,
  writePlan,
} from './update/plan.js'
export { type Published, type PublishOptions, publish, pull } from './update/publish.js'
export { writeReceipt } from './update/receipt.js'
export type { LayerStatistic, StatisticInfo, StatisticKind } from './update/statistic.js'
export { openStatistic, type StatisticFile, writeStatistic } from './update/statistic-file.js'
export { parseUpdate, readUpdate, serializeUpdate, type Update, type UpdateInfo } from './update/update.js'
export type { Learnable } from './valuation/learn.js'
export type { ValueOptions } from './valuation/options.js'
export { type ClientValue, type Finding, readValuation, type Valuation } from './valuation/valuation.js'
export { valueClients } from './valuation/value-clients.js'
