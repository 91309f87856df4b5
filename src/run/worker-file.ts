/**
 * Where a worker's compiled module lies. A worker cannot be started from TypeScript, so that tests, which run the
 * sources, take the compiled file of the same build.
 * @param module path below src without its ending, e.g. `runtime/onnx-worker`
 */
export function workerFile(module: string): URL {
  const root = import.meta.url.endsWith('.ts') ? '../../dist/' : '../'
  return new URL(`${root}${module}.js`, import.meta.url)
}
